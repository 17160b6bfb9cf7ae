// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Glibc
import Testing

@testable import devmemctl

/// Sends over loopback, where the kernel copies after all and says so.
@Suite("ZeroCopySender")
struct ZeroCopySenderTests {
  /// A packet of the pool's buffers with the stream's next bytes, each buffer filled to a random
  /// length from a random place on.
  private func fill(
    _ packet: inout Packet, _ stream: Stream, _ hash: inout SHA256,
    _ random: inout SeededGenerator, count: Int
  ) throws {
    while packet.fragmentCount < count, var netmem = stream.pool.allocate() {
      let start = Bool.random(using: &random) ? 0 : Int.random(in: 0..<4000, using: &random)
      let byteCount = Int.random(in: 0...netmem.byteCount - start, using: &random)
      let value = UInt8.random(in: 0...255, using: &random)
      try stream.buffer.withCPUAccess(.readWrite) {
        try netmem.withMutableBytes { bytes in
          unsafe bytes.withUnsafeMutableBytes { bytes in
            let place = unsafe UnsafeMutableRawBufferPointer(
              rebasing: bytes[start..<start + byteCount])
            for index in stride(from: 0, to: byteCount, by: 7) {
              unsafe place[index] = value &+ UInt8(truncatingIfNeeded: index)
            }
            unsafe hash.update(UnsafeRawBufferPointer(place))
          }
        }
      }
      packet.append(PayloadFragment(netmem: netmem, offsetInIOV: start, byteCount: byteCount))
    }
  }

  @Test("packets of all sizes arrive in order, and every buffer comes back once it was notified")
  func transfer() throws {
    let stream = try Stream(iovCount: 256)
    let reader = ReadStream(try stream.accepted())
    var random = SeededGenerator(seed: 11)
    var hash = SHA256()
    var byteCount = 0
    do {
      var sender = try ZeroCopySender(
        stream: stream.client.socket.descriptor.duplicate(), memory: stream.buffer,
        configuration: .init(packetLimit: 8, fragmentLimit: 64))
      var packet = Packet(fragmentCapacity: 64)
      for _ in 0..<400 {
        try fill(
          &packet, stream, &hash, &random, count: Int.random(in: 1...64, using: &random))
        if packet.fragmentCount == 0 {
          _ = try sender.awaitCompletions(leaving: max(sender.packetsInFlight - 1, 0))
          continue
        }
        byteCount += packet.payloadByteCount
        try sender.sendAll(&packet)
        #expect(packet.fragmentCount == 0)
      }
      try sender.finish()
      #expect(try sender.awaitCompletions())
      #expect(sender.packetsInFlight == 0)
      let statistics = sender.statistics
      #expect(statistics.zeroCopyByteCount + statistics.plainByteCount == byteCount)
      // Both ways were taken, and loopback copies what it was to leave where it is.
      #expect(statistics.plainByteCount > 0 && statistics.zeroCopyByteCount > 0)
      #expect(statistics.calls == statistics.completedCalls)
      #expect(statistics.copiedCalls == statistics.calls)
      #expect(stream.pool.inFlight.held == 0)
    }
    let (received, digest) = reader.wait()
    let sent = hash.finalize()
    #expect(received == byteCount)
    #expect(digest == sent)
  }

  @Test("fragments that lie apart go by one request where the kernel knows how, in their order")
  func vectors() throws {
    let stream = try Stream(iovCount: 64)
    let reader = ReadStream(try stream.accepted())
    var hash = SHA256()
    var sender = try ZeroCopySender(
      stream: stream.client.socket.descriptor.duplicate(), memory: stream.buffer,
      configuration: .init(minimumByteCount: 0))
    // Every second buffer of the memory: none lies beside another one.
    var buffers: [Held] = []
    while let netmem = stream.pool.allocate() { buffers.append(Held(netmem)) }
    buffers.sort { $0.with { $0.offset } < $1.with { $0.offset } }
    var packet = Packet(fragmentCapacity: 32)
    for (index, held) in buffers.enumerated() where index % 2 == 1 {
      var netmem = try held.taken()
      try stream.buffer.withCPUAccess(.readWrite) {
        try netmem.withMutableBytes { bytes in
          unsafe bytes.withUnsafeMutableBytes { bytes in
            for place in bytes.indices {
              unsafe bytes[place] = UInt8(truncatingIfNeeded: place ^ index)
            }
            unsafe hash.update(UnsafeRawBufferPointer(rebasing: bytes[1..<1001 + index]))
          }
        }
      }
      packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 1, byteCount: 1000 + index))
    }
    let byteCount = packet.payloadByteCount
    try sender.sendAll(&packet)
    try sender.finish()
    #expect(try sender.awaitCompletions())
    let (received, digest) = reader.wait()
    let sent = hash.finalize()
    #expect(received == byteCount && digest == sent)
    // One, or one for each where the kernel is older than Linux 6.15.
    #expect([1, 32].contains(sender.statistics.calls))
    #expect(sender.statistics.calls == sender.statistics.completedCalls)
  }

  @Test("a peer that does not read: the packet is pending, then refused unchanged, and goes on")
  func backPressure() throws {
    let stream = try Stream(iovCount: 64, iovByteCount: 1 << 20)
    var random = SeededGenerator(seed: 12)
    var hash = SHA256()
    var sender = try ZeroCopySender(
      stream: stream.client.socket.descriptor.duplicate(), memory: stream.buffer,
      configuration: .init(packetLimit: 4, fragmentLimit: 8))
    var packet = Packet(fragmentCapacity: 8)
    var byteCount = 0
    var outcome = ZeroCopySender.Outcome.sent
    // More than any socket takes.
    for _ in 0..<8 where outcome == .sent || outcome == .tooMuchInFlight {
      if outcome == .tooMuchInFlight { break }
      try fill(&packet, stream, &hash, &random, count: 8)
      byteCount += packet.payloadByteCount
      outcome = try sender.send(&packet)
    }
    try #require(outcome == .pending)
    #expect(packet.fragmentCount == 0)
    try fill(&packet, stream, &hash, &random, count: 3)
    let count = packet.payloadByteCount
    byteCount += count
    #expect(try sender.send(&packet) == .wouldBlock)
    #expect(packet.fragmentCount == 3 && packet.payloadByteCount == count)
    #expect(try sender.resume() == .pending)
    #expect(try !sender.awaitCompletions(milliseconds: 10))
    let reader = ReadStream(try stream.accepted())
    try sender.sendAll(&packet)
    try sender.finish()
    #expect(try sender.awaitCompletions())
    let (received, digest) = reader.wait()
    let sent = hash.finalize()
    #expect(received == byteCount)
    #expect(digest == sent)
    #expect(stream.pool.inFlight.held == 0)
  }

  // That they are kept shows over a card alone (ZeroCopyQueueTests): loopback copies at once.
  @Test("a sender that ends with packets in flight gives their buffers back when the peer has gone")
  func abandoned() throws {
    let stream = try Stream(iovCount: 64, iovByteCount: 1 << 20)
    var random = SeededGenerator(seed: 13)
    var hash = SHA256()
    var byteCount = 0
    do {
      var sender = try ZeroCopySender(
        stream: stream.client.socket.descriptor.duplicate(), memory: stream.buffer,
        configuration: .init(packetLimit: 16, fragmentLimit: 8))
      var packet = Packet(fragmentCapacity: 8)
      while byteCount < 48 << 20 {
        try fill(&packet, stream, &hash, &random, count: 8)
        byteCount += packet.payloadByteCount
        if try sender.send(&packet) != .sent { break }
      }
      #expect(sender.packetsInFlight > 0)
    }
    // The peer goes: the kernel throws away what it had.
    stream.server = nil
    for _ in 0..<1000 where stream.pool.inFlight.held > 0 {
      SystemProcess.pause(milliseconds: 10)
    }
    #expect(stream.pool.inFlight.held == 0)
  }

  @Test("a peer that has gone ends the stream with an error, again and again, and nothing is lost")
  func peerGone() throws {
    let stream = try Stream(iovCount: 64)
    var random = SeededGenerator(seed: 14)
    var hash = SHA256()
    do {
      stream.server = nil
      var sender = try ZeroCopySender(
        stream: stream.client.socket.descriptor.duplicate(), memory: stream.buffer)
      var packet = Packet(fragmentCapacity: 64)
      var failure: URingError?
      for _ in 0..<100 where failure == nil {
        do {
          try fill(&packet, stream, &hash, &random, count: 32)
          try sender.sendAll(&packet)
          _ = try sender.awaitCompletions()
        } catch let error as URingError {
          failure = error
        }
      }
      #expect(failure?.code == .connectionLost, "\(String(describing: failure))")
      #expect(throws: URingError.self) { try sender.resume() }
      packet.removeAll()
    }
    for _ in 0..<1000 where stream.pool.inFlight.held > 0 {
      SystemProcess.pause(milliseconds: 10)
    }
    #expect(stream.pool.inFlight.held == 0)
  }

  @Test("no descriptor or mapping is lost when a call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let stream = try Stream(iovCount: 4)
      ForcedErrnos.printVerdict(with: [.EINTR, .EPERM, .ENOMEM, .EINVAL, .EIO]) {
        let listener = try TCPSocket.listen()
        let client = try TCPSocket.connect(port: listener.port)
        var sender = try ZeroCopySender(
          stream: client.descriptor.duplicate(), memory: stream.buffer,
          configuration: .init(packetLimit: 2, fragmentLimit: 4, minimumByteCount: 0))
        var packet = Packet(fragmentCapacity: 4)
        let netmem = stream.pool.allocate()!
        packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: 100))
        let outcome = try sender.send(&packet)
        precondition(outcome == .sent)
        let isDone = try sender.awaitCompletions(milliseconds: 60_000)
        precondition(isDone && sender.statistics.completedCalls == 1)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}

/// Reads a stream to its end on a thread of its own.
final class ReadStream: @unchecked Sendable {
  private let worker = Worker()
  private var byteCount = 0
  private var hash = SHA256()

  init(_ socket: SharedTCPSocket) {
    worker.start { [self] in
      let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
      defer { unsafe block.deallocate() }
      while true {
        let vector = unsafe IOVector(baseAddress: block.baseAddress!, byteCount: block.count)
        let count = unsafe withUnsafePointer(to: vector) { vector in
          let room = unsafe UnsafeBufferPointer(start: vector, count: 1)
          return (try? socket.socket.descriptor.receive(into: room)) ?? 0
        }
        guard count > 0 else { return }
        byteCount += count
        unsafe hash.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
      }
    }
  }

  /// Waits for the end. Once.
  func wait() -> (Int, [UInt8]) {
    worker.run {}
    worker.stop()
    var finished = SHA256()
    swap(&finished, &hash)
    return (byteCount, finished.finalize())
  }
}
