// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// One instance of zero-copy receive for several rings, in threads and processes, without a card.
@Suite("Zero-copy receive that is shared", .serialized) struct ZeroCopySharingTests {
  /// All buffers can be held at the same time: none got lost.
  static func expectWhole(_ instance: ZeroCopyInstance) throws {
    let connection = try LoopbackConnection()
    let byteCount = 3 * instance.capacity * 4096
    connection.startSending(byteCount)
    let receiver = try PatternReceiver(
      connection.takeServer(), over: instance, hold: instance.capacity)
    #expect(try receiver.holdAll() == instance.capacity)
    #expect(receiver.byteCount == byteCount)
    try receiver.finish()
    #expect(instance.count == instance.capacity && instance.heldCount == 0)
    receiver.drop()
  }

  @Test("a ring of another thread receives and returns as well, and either may end first")
  func threads() throws {
    for endsFirst in [false, true] {
      let byteCount = 8 << 20
      let memory = try DMABuf.udmabuf(byteCount: 1 << 20)
      var instance: ZeroCopyInstance? = try ZeroCopyInstance(memory: memory, from: .anySocket)
      let share = ShareBox(try instance!.export())
      let first = try LoopbackConnection()
      let second = try LoopbackConnection()
      first.startSending(byteCount)
      second.startSending(byteCount)
      let stream = ShareOf(second.takeServer())
      let worker = Worker()
      let result = ShareOf<Int>(0)
      worker.start {
        do {
          let other = try ZeroCopyInstance(importing: share.take())
          let receiver = try PatternReceiver(stream.take(), over: other, hold: 64)
          try receiver.drain()
          result.put(receiver.byteCount)
          receiver.drop()
        } catch {
          Issue.record("\(error)")
        }
      }
      let receiver = try PatternReceiver(first.takeServer(), over: instance!, hold: 64)
      if endsFirst {
        try receiver.drain { receiver.byteCount > byteCount / 2 }
        receiver.drop()
        instance = nil
      } else {
        try receiver.drain()
        #expect(receiver.byteCount == byteCount)
        try receiver.finish()
      }
      worker.run {}
      #expect(result.take() == byteCount)
      if let instance {
        receiver.drop()
        try Self.expectWhole(instance)
      }
      instance = nil
      worker.stop()
      // Nobody has the memory.
      _ = try DMABufCarving(memory)
    }
  }

  @Test("a ring of another process receives and returns as well")
  func processes() throws {
    let byteCount = 8 << 20
    let memory = try DMABuf.udmabuf(byteCount: 1 << 20)
    let instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
    let peer = try ZeroCopyPeerProcess.importing(instance, hold: 50)
    let first = try LoopbackConnection()
    let second = try LoopbackConnection()
    first.startSending(byteCount)
    second.startSending(byteCount)
    try peer.receive(second.takeServer())
    let receiver = try PatternReceiver(first.takeServer(), over: instance, hold: 50)
    try receiver.drain()
    #expect(receiver.byteCount == byteCount)
    receiver.drop()
    try peer.wait()
    #expect(peer.byteCount == byteCount)
    try Self.expectWhole(instance)
  }

  @Test("SIGKILL of others at random moments loses no byte and no buffer")
  func killed() throws {
    let memory = try DMABuf.udmabuf(byteCount: 1 << 20)
    let instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
    let byteCount = 48 << 20
    let first = try LoopbackConnection()
    first.startSending(byteCount)
    let receiver = try PatternReceiver(first.takeServer(), over: instance, hold: 30)
    var random = SeededGenerator(seed: 11)
    for _ in 0..<6 {
      let peers = try (0..<2).map { _ in try ZeroCopyPeerProcess.importing(instance, hold: 60) }
      for peer in peers {
        let connection = try LoopbackConnection()
        connection.startSending(1 << 30)
        try peer.receive(connection.takeServer())
      }
      for peer in peers {
        let enough = Int.random(in: 1...2 << 20, using: &random)
        // Goes on meanwhile.
        try receiver.drain {
          while try peer.listen() {}
          return peer.byteCount >= enough
        }
        // Where this stream has ended already.
        while peer.byteCount < enough { try #require(try peer.listen(milliseconds: 60_000)) }
        try peer.kill()
      }
    }
    try receiver.drain()
    #expect(receiver.byteCount == byteCount)
    receiver.drop()
    try Self.expectWhole(instance)
  }

  @Test("SIGKILL of the one that made the instance takes nothing from the others")
  func makerKilled() throws {
    let byteCount = 8 << 20
    let maker = try ZeroCopyPeerProcess(["export", "60", "\(1 << 20)"])
    let instance = try ZeroCopyInstance(importing: maker.share())
    let theirs = try LoopbackConnection()
    theirs.startSending(1 << 30)
    try maker.receive(theirs.takeServer())
    let ours = try LoopbackConnection()
    ours.startSending(byteCount)
    let receiver = try PatternReceiver(ours.takeServer(), over: instance, hold: 30)
    try receiver.drain {
      while try maker.listen() {}
      return maker.byteCount > 1 << 20 && receiver.byteCount > 1 << 20
    }
    try maker.kill()
    // It can be shared on.
    let peer = try ZeroCopyPeerProcess.importing(instance, hold: 30)
    let another = try LoopbackConnection()
    another.startSending(byteCount)
    try peer.receive(another.takeServer())
    try receiver.drain()
    #expect(receiver.byteCount == byteCount)
    receiver.drop()
    try peer.wait()
    #expect(peer.byteCount == byteCount)
    try Self.expectWhole(instance)
  }

  @Test("what cannot be shared is refused: memory that grows, too many rings, nonsense")
  func refusals() throws {
    let memory = try DMABuf.udmabuf(byteCount: 65536)
    let growth = ZeroCopyGrowth(stepByteCount: 4096, maximumByteCount: 1 << 20, lowWatermark: 1)
    var instance: ZeroCopyInstance? = try ZeroCopyInstance(
      memory: memory, from: .anySocket, configuration: .init(growth: growth))
    do {
      _ = try instance!.export()
      Issue.record("it was shared")
    } catch {
      #expect(error.code == .invalidConfiguration && error.remedy != nil)
    }
    instance = nil
    instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
    var shares: [ShareBox] = []
    while shares.count < 20 {
      do {
        shares.append(ShareBox(try instance!.export()))
      } catch {
        #expect(error.code == .invalidConfiguration && error.underlying == .EBUSY)
        break
      }
    }
    #expect(shares.count == 15)
    // What did not arrive is a place for others.
    shares.removeLast()
    let (here, there) = try UnixSocket.pair()
    let message: [UInt8] = [0x7A, 0x63, 0x72, 0x78, 2, 1]
    for (bytes, count) in [([0, 1, 2, 3, 4, 5], 4), (message, 3), (message, 4)] {
      let file = try MemoryFile(name: "none", byteCount: 8192)
      try file.addSeals()
      _ = try here.send(
        bytes as [UInt8],
        descriptors: [Int32](repeating: file.descriptor.rawValue, count: count))
      do {
        _ = try ZeroCopyShare.receive(from: there)
        Issue.record("it was taken")
      } catch let error as URingError {
        #expect(error.code == .shareDamaged && error.remedy != nil)
      }
    }
    // In this process the memory is bound: over a socket nothing is known of the claim.
    try instance!.export().send(over: here)
    let share = ShareBox(try .receive(from: there))
    #expect(throws: DevmemError.self) { try ZeroCopyInstance(importing: share.take()) }
  }

  @Test("no descriptor, mapping or claim is lost when a call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let memory = try DMABuf.udmabuf(byteCount: 65536)
      ForcedErrnos.printVerdict(
        with: [.EINTR, .EPERM, .ENOMEM, .EINVAL, .EIO],
        tolerates: {
          // Nobody is told what fails when something ends: what may be somebody's stays so.
          [.numaNodeOf, .isByteLocked].contains($0.call)
            || $0.call == .awaitByte && $0.occurrence >= 4
            || $0.call == .uringEnter && $0.occurrence >= 3
        }
      ) {
        let listener = try TCPSocket.listen()
        let client = try TCPSocket.connect(port: listener.port)
        let instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
        let other = try ZeroCopyInstance(importing: instance.export())
        var receiver = try ZeroCopyReceiver(
          stream: listener.accept().takeDescriptor(), over: other,
          configuration: .init(waits: false))
        var packet = receiver.makePacket()
        let first = try receiver.receive(into: &packet)
        try client.send([UInt8](repeating: 3, count: 100))
        let isReadable = try receiver.wait(milliseconds: 60_000)
        let second = try receiver.receive(into: &packet)
        packet.removeAll()
        try receiver.replenish()
        precondition(first == .wouldBlock && isReadable && second == .packet)
        precondition(instance.count == 16)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}

/// One instance of zero-copy receive over a card's queue, for several rings.
@Suite("Zero-copy receive over a card's queue that is shared", .onDevmemSim, .serialized)
struct ZeroCopySharedQueueTests {
  @Test("a thread, and processes that are killed, take no byte from the others, and no buffer")
  func shared() throws {
    let byteCount = 8 << 20
    // The sockets may queue a fraction of it: else segments out of order can have all buffers, and
    // the missing one none.
    let rig = try ZeroCopyRig(byteCount: 16 << 20, receiveBufferByteCount: 128 << 10)
    let threadJob = rig.startSending(byteCount)
    let stream = ShareOf(try rig.accept())
    let share = ShareBox(try rig.instance.export())
    let worker = Worker()
    let result = ShareOf<Int>(0)
    worker.start {
      do {
        let other = try ZeroCopyInstance(importing: share.take())
        let receiver = try PatternReceiver(stream.take(), over: other, hold: 64)
        try receiver.drain()
        result.put(receiver.byteCount)
        receiver.drop()
      } catch {
        Issue.record("\(error)")
      }
    }
    let job = rig.startSending(byteCount)
    let receiver = try PatternReceiver(rig.accept(), over: rig.instance, hold: 64)
    // What they take with them would be more than there is, if nobody gave it back.
    for _ in 0..<6 {
      let peer = try ZeroCopyPeerProcess.importing(rig.instance, hold: 800)
      let theirs = rig.startSending(1 << 30)
      try peer.receive(rig.accept())
      try receiver.drain {
        while try peer.listen() {}
        return peer.byteCount > 4 << 20
      }
      while peer.byteCount <= 4 << 20 { try #require(try peer.listen(milliseconds: 60_000)) }
      try peer.kill()
      #expect(throws: (any Error).self) { try theirs.join() }
    }
    try receiver.drain()
    #expect(receiver.byteCount == byteCount)
    receiver.drop()
    worker.run {}
    worker.stop()
    #expect(result.take() == byteCount)
    try job.join()
    try threadJob.join()
    let last = rig.startSending(2 * byteCount)
    let holder = try PatternReceiver(
      rig.accept(), over: rig.instance, hold: rig.instance.capacity)
    // Half of them: the card needs the others.
    #expect(try holder.holdAll() >= rig.instance.capacity / 2)
    #expect(holder.byteCount == 2 * byteCount)
    try holder.finish()
    #expect(rig.instance.count == rig.instance.capacity)
    holder.drop()
    try last.join()
    #expect(rig.instance.statistics.copyCount == 0)
    try rig.end()
    #expect(try !ZeroCopyRig.isBound())
  }
}

/// A value where Swift wants something that can be copied.
final class ShareOf<Value: ~Copyable>: @unchecked Sendable {
  private var value: Value?
  init(_ value: consuming Value) { self.value = consume value }
  func put(_ value: consuming Value) { self.value = consume value }
  func take() -> Value { value.take()! }
}
