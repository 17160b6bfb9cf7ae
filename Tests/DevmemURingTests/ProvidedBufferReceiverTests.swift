// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@testable import DevmemURing
@testable import devmemctl

@Suite("ProvidedBufferReceiver")
struct ProvidedBufferReceiverTests {
  @Test("64 MiB arrive as they were sent, through code that is written for any receiver")
  func transfer() throws {
    let stream = try Stream(iovCount: 512)
    let sent = stream.startSending(byteCount: 64 << 20, seed: 1)
    try stream.buffer.withCPUAccess(.readWrite) {
      var receiver = try stream.receiver()
      var hash = SHA256()
      #expect(try drain(&receiver, into: &hash) == 64 << 20)
      #expect(hash.finalize() == sent.awaitDigest())
      #expect(receiver.statistics.byteCount == 64 << 20)
      #expect(stream.pool.inFlight.held == 0)
    }
  }

  @Test("fragments are held, and end on other threads in any order, while more is received")
  func heldElsewhere() throws {
    let stream = try Stream(iovCount: 256)
    let sent = stream.startSending(byteCount: 32 << 20, seed: 2)
    let workers = [Worker(), Worker(), Worker()]
    defer { for worker in workers { worker.stop() } }
    var random = SeededGenerator(seed: 3)
    var held: [HeldFragment] = []
    try stream.buffer.withCPUAccess(.readWrite) {
      var receiver = try stream.receiver(.init(lentCount: 64))
      var packet = receiver.makePacket()
      var hash = SHA256()
      loop: while true {
        switch try receiver.receive(into: &packet) {
        case .packet:
          while let fragment = packet.popFirstFragment() {
            try hash.update(fragment)
            #expect(fragment.kind == .device && fragment.placement == .pool)
            held.append(HeldFragment(fragment))
          }
          while held.count > 150 {
            held.swapAt(Int.random(in: 0..<held.count, using: &random), held.count - 1)
            let fragment = held.removeLast()
            workers.randomElement(using: &random)!.start { fragment.drop() }
          }
        case .exhausted:
          // Those that are on their way: their threads are slower than this one.
          SystemProcess.pause(milliseconds: 1)
        case .wouldBlock: Issue.record("the receiver waits")
        case .endOfStream: break loop
        }
      }
      #expect(hash.finalize() == sent.awaitDigest())
      for fragment in held { workers[0].start { fragment.drop() } }
      for worker in workers { worker.run {} }
      #expect(stream.pool.inFlight.held == 0)
    }
  }

  @Test("a pool that is empty thousands of times in one connection costs no byte")
  func exhaustion() throws {
    let stream = try Stream(iovCount: 4)
    let sent = stream.startSending(byteCount: 64 << 20, seed: 4)
    try stream.buffer.withCPUAccess(.readWrite) {
      var receiver = try stream.receiver(.init(lentCount: 4))
      var packet = receiver.makePacket()
      var hash = SHA256()
      var held: [HeldFragment] = []
      loop: while true {
        switch try receiver.receive(into: &packet) {
        case .packet:
          while let fragment = packet.popFirstFragment() {
            try hash.update(fragment)
            held.append(HeldFragment(fragment))
          }
        case .exhausted(let role):
          #expect(role == .payload)
          #expect(held.count == 4)
          for fragment in held { fragment.drop() }
          held.removeAll()
        case .wouldBlock: Issue.record("the receiver waits")
        case .endOfStream: break loop
        }
      }
      #expect(hash.finalize() == sent.awaitDigest())
      #expect(receiver.statistics.byteCount == 64 << 20)
      // 4 buffers of 4 KiB are at most held at once.
      #expect(receiver.statistics.stalls >= (64 << 20) / (4 * 4096))
      #expect(receiver.statistics.starved >= 2000)
      #expect(receiver.statistics.requests >= receiver.statistics.starved)
    }
  }

  @Test("where a call does not wait, the ring's descriptor says when there is more")
  func polling() throws {
    let stream = try Stream(iovCount: 16)
    try stream.buffer.withCPUAccess(.readWrite) {
      var receiver = try stream.receiver(.init(lentCount: 8, waits: false))
      var packet = receiver.makePacket()
      #expect(try receiver.receive(into: &packet) == .wouldBlock)
      #expect(try !receiver.wait(milliseconds: 0))
      for count in [1, 4096, 4097, 10] {
        var received: [UInt8] = []
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try stream.client.socket.send(bytes)
        while received.count < count {
          try #require(try receiver.wait(milliseconds: 10_000))
          try #require(try receiver.receive(into: &packet) == .packet)
          while let fragment = packet.popFirstFragment() {
            try fragment.withBytes { bytes in
              unsafe bytes.withUnsafeBytes { received += unsafe Array($0) }
            }
          }
        }
        #expect(received == bytes)
        #expect(try receiver.receive(into: &packet) == .wouldBlock)
        #expect(try !receiver.wait(milliseconds: 0))
      }
      try stream.client.finishSending()
      try #require(try receiver.wait(milliseconds: 10_000))
      #expect(try receiver.receive(into: &packet) == .endOfStream)
    }
  }

  @Test("the end of the stream puts all buffers back, and says so again")
  func end() throws {
    let stream = try Stream(iovCount: 16)
    try stream.client.socket.send([1, 2, 3])
    try stream.client.finishSending()
    try stream.buffer.withCPUAccess(.readWrite) {
      var receiver = try stream.receiver(.init(lentCount: 8))
      var packet = receiver.makePacket()
      #expect(try receiver.receive(into: &packet) == .packet)
      #expect(packet.payloadByteCount == 3)
      #expect(try receiver.receive(into: &packet) == .endOfStream)
      #expect(receiver.lentCount == 0)
      #expect(stream.pool.inFlight.held == 0)
      #expect(try receiver.receive(into: &packet) == .endOfStream)
    }
  }

  @Test("a connection that is reset is an error, after what had come, and stays one")
  func reset() throws {
    let stream = try Stream(iovCount: 16)
    var receiver = try stream.receiver(.init(lentCount: 8))
    var packet = receiver.makePacket()
    let client = stream.client.socket.descriptor.rawValue
    var linger = linger(l_onoff: 1, l_linger: 0)
    let size = socklen_t(MemoryLayout<Glibc.linger>.size)
    #expect(unsafe setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, size) == 0)
    // Disconnects the socket, with a reset, and leaves the descriptor.
    var unspecified = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: sockaddr().sa_data)
    let length = socklen_t(MemoryLayout<sockaddr>.size)
    #expect(unsafe connect(client, &unspecified, length) == 0)
    for _ in 0..<2 {
      do throws(URingError) {
        let outcome = try receiver.receive(into: &packet)
        Issue.record("\(outcome)")
      } catch {
        #expect(error.code == .connectionLost && error.underlying == .ECONNRESET, "\(error)")
      }
    }
    #expect(stream.pool.inFlight.held == 0)
  }

  @Test("after the end of the receiver the kernel writes to none of its buffers")
  func endWhileReceiving() throws {
    let worker = Worker()
    defer { worker.stop() }
    for round in 0..<100 {
      let stream = try Stream(iovCount: 512)
      try stream.client.setNoDelay(true)
      try stream.buffer.withCPUAccess(.readWrite) {
        let client = stream.client
        let isOver = DrainFlag()
        do {
          var receiver = try stream.receiver(.init(lentCount: 512, waits: false))
          var packet = receiver.makePacket()
          // Few bytes at a time: the kernel takes a buffer for each, and does not run out of them.
          worker.start {
            while !isOver.isSet { guard (try? client.socket.send([2, 2])) != nil else { return } }
          }
          for _ in 0...round % 10 { _ = try receiver.receive(into: &packet) }
          // The packet's buffers end with it, the lent ones with the receiver, the socket with
          // neither: what comes now would be received into these.
        }
        var buffers: [Held] = []
        while var netmem = stream.pool.allocate() {
          try netmem.withMutableBytes { bytes in
            bytes.storeBytes(of: 0x0909, as: UInt16.self)
          }
          buffers.append(Held(netmem))
        }
        #expect(buffers.count == 512)
        try stream.awaitQueued(2000)
        isOver.set()
        worker.run {}
        for buffer in buffers {
          let word = try buffer.with { netmem in
            try netmem.withBytes { bytes in
              unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt16.self)
            }
          }
          #expect(word == 0x0909)
        }
      }
    }
  }

  @Test("a receiver whose thread has ended goes on where its pool is claimed")
  func threadEnd() throws {
    final class Moved: @unchecked Sendable {
      var receiver: ProvidedBufferReceiver?
      var pool: PagePool?
      var stream: Stream?
    }
    let moved = Moved()
    let worker = Worker()
    worker.run {
      let stream = try! Stream(iovCount: 16)
      var receiver = try! stream.receiver(.init(lentCount: 8, waits: false))
      var packet = receiver.makePacket()
      precondition(try! receiver.receive(into: &packet) == .wouldBlock)
      moved.receiver = consume receiver
      moved.pool = stream.pool
      moved.stream = stream
    }
    worker.stop()
    let stream = try #require(moved.stream)
    // The thread has ended when its pool can be claimed.
    var isClaimed = false
    for _ in 0..<10_000 where !isClaimed {
      isClaimed = (try? stream.pool.remote.claimFromEndedThread()) != nil
      if !isClaimed { SystemProcess.pause(milliseconds: 1) }
    }
    try #require(isClaimed)
    guard var receiver = moved.receiver.take() else { fatalError("no receiver") }
    var packet = receiver.makePacket()
    var byteCount = 0
    try stream.client.socket.send([UInt8](repeating: 5, count: 10_000))
    while byteCount < 10_000 {
      switch try receiver.receive(into: &packet) {
      case .packet: byteCount += packet.payloadByteCount
      case .wouldBlock: try #require(try receiver.wait(milliseconds: 10_000))
      case let outcome: Issue.record("\(outcome)")
      }
    }
    #expect(receiver.statistics.requests == 2)
  }
}
