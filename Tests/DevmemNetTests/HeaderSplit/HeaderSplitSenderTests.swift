// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// A sender that a closure on another thread can use.
final class SenderBox: @unchecked Sendable {
  private var sender: HeaderSplitSender?

  init(_ sender: consuming HeaderSplitSender) { self.sender = consume sender }

  func with(_ body: (inout HeaderSplitSender) -> Void) {
    guard var taken = sender.take() else { return }
    body(&taken)
    sender = consume taken
  }

  func drop() { sender = nil }
}

@Suite("HeaderSplitSender")
struct HeaderSplitSenderTests {
  @Test("a received packet is forwarded as it is, gathered from its fragments")
  func forwards() throws {
    let wire = try Wire()
    let next = try Wire()
    let payload = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    try wire.write(Wire.packet(payload))
    var receiver = try wire.receiver(maximum: 5000)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)

    var sender = try next.sender()
    try sender.send(packet)
    var second = try next.receiver(maximum: 5000)
    var copy = second.makePacket()
    #expect(try second.receive(into: &copy) == .packet)
    #expect(try copy.headerBytes() == Wire.header(size: 5000))
    #expect(try copy.payloadBytes() == payload)
  }

  @Test("a socket that takes little at a time gets everything, in order")
  func partial() throws {
    // The non-blocking end of this pair is the one that sends, with a small buffer.
    let (sending, receiving) = try UnixSocket.pair(kind: .stream)
    var small: Int32 = 4096
    try #require(
      unsafe setsockopt(
        sending.descriptor.rawValue, SOL_SOCKET, SO_SNDBUF, &small,
        socklen_t(MemoryLayout<Int32>.size)) == 0)
    let flags = fcntl(sending.descriptor.rawValue, F_GETFL)
    try #require(fcntl(sending.descriptor.rawValue, F_SETFL, flags | O_NONBLOCK) == 0)
    let payload = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let header = Wire.header(size: UInt64(payload.count))
    let sender = SenderBox(HeaderSplitSender(socket: try sending.descriptor.duplicate()))
    let worker = Worker()
    defer { worker.stop() }
    worker.start {
      sender.with { try? unsafe $0.send(header: header.span.bytes, payload: payload.span.bytes) }
      sender.drop()
    }
    var received: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 3001)
    while received.count < header.count + payload.count {
      let count = try unsafe block.withUnsafeMutableBytes {
        try receiving.receive(into: $0).byteCount
      }
      try #require(count > 0)
      received += block[..<count]
    }
    try #require(received == header + payload)
  }

  @Test("empty headers and payloads are sent as nothing")
  func empty() throws {
    let wire = try Wire()
    var sender = try wire.sender()
    try unsafe sender.send(header: Wire.header(size: 0).span.bytes, payload: [UInt8]().span.bytes)
    var receiver = try wire.receiver(maximum: 1)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(packet.payloadByteCount == 0)
  }

  @Test("a peer that has gone is an error, not a signal")
  func gone() throws {
    let (sending, receiving) = try UnixSocket.pair(kind: .stream)
    try #require(shutdown(receiving.descriptor.rawValue, Int32(SHUT_RDWR)) == 0)
    var sender = HeaderSplitSender(socket: try sending.descriptor.duplicate())
    #expect(throws: HeaderSplitError.socket(.EPIPE)) {
      try unsafe sender.send(header: [UInt8(1)].span.bytes, payload: [UInt8]().span.bytes)
    }
  }
}
