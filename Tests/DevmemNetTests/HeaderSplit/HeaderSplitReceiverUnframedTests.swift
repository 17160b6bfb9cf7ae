// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Testing

@Suite("HeaderSplitReceiver on a stream without framing")
struct HeaderSplitReceiverUnframedTests {
  @Test("what is there arrives in order, however the stream is cut", arguments: [11, 12, 13, 14])
  func randomSizes(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let wire = try Wire()
    let stream = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    var receiver = try wire.unframedReceiver(maximum: 5000)
    var packet = receiver.makePacket()
    var received: [UInt8] = []
    var rest = stream[...]
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        #expect(packet.headerByteCount == 0)
        #expect((1...5000).contains(packet.payloadByteCount))
        #expect(packet.fragmentCount == (packet.payloadByteCount + 1023) / 1024)
        received += try packet.payloadBytes()
      case .wouldBlock:
        if rest.isEmpty {
          wire.finish()
        } else {
          let piece = rest.prefix(Int.random(in: 1...9000, using: &random))
          try wire.write(piece)
          rest = rest.dropFirst(piece.count)
        }
      case .endOfStream: break loop
      case .exhausted(let role): Issue.record("\(role) pool exhausted")
      }
    }
    try #require(received == stream, "seed \(seed)")
    #expect(wire.heldCount == 0)
  }

  @Test("a nearly empty pool makes packets smaller, an empty one stops them, and nothing is lost")
  func exhausted() throws {
    let wire = try Wire(iovCount: 3)
    let stream = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    try wire.write(stream)
    var receiver = try wire.unframedReceiver(maximum: 2048)
    var first = receiver.makePacket()
    var second = receiver.makePacket()
    var third = receiver.makePacket()
    #expect(try receiver.receive(into: &first) == .packet)
    #expect(try receiver.receive(into: &second) == .packet)
    #expect(second.payloadByteCount == 1024)
    #expect(try receiver.receive(into: &third) == .exhausted(.payload))
    var received = try first.payloadBytes() + second.payloadBytes()
    first.removeAll()
    #expect(try receiver.receive(into: &third) == .packet)
    received += try third.payloadBytes()
    #expect(received == Array(stream[..<received.count]))
  }

  @Test("a packet costs one system call")
  func calls() throws {
    let wire = try Wire()
    var receiver = try wire.unframedReceiver(maximum: 4096)
    var packet = receiver.makePacket()
    let counts = try SystemCallSeam.counting {
      for size in [1, 1024, 4000] {
        try wire.write([UInt8](repeating: 1, count: size))
        let outcome = try receiver.receive(into: &packet)
        #expect(outcome == .packet)
        #expect(packet.payloadByteCount == size)
      }
    }
    #expect(counts[.tcpReceive] == 3)
  }

  @Test("an error is final and the buffers come back; device memory is called by its name")
  func failure() throws {
    let wire = try Wire()
    var receiver = try wire.unframedReceiver(maximum: 4096)
    var packet = receiver.makePacket()
    SystemCallSeam.forcing(.EFAULT, on: .tcpReceive) {
      let error = #expect(throws: HeaderSplitError.socket(.EFAULT)) {
        _ = try receiver.receive(into: &packet)
      }
      #expect(error?.description.contains("DevmemReceiver") == true)
    }
    #expect(throws: HeaderSplitError.socket(.EFAULT)) { _ = try receiver.receive(into: &packet) }
    #expect(wire.heldCount == 0)
  }
}
