// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// From our sender to our receiver through the kernel, device memory at both ends.
@Suite("DevmemSender to DevmemReceiver", .onDevmemSim, .serialized)
struct DevmemTransferTests {
  @Test(
    "every byte arrives in device memory, in order, and all buffers come back",
    arguments: [false, true])
  func bothEnds(isIPv6: Bool) throws {
    let byteCount = 8 << 20
    let rig = try DevmemRig(isIPv6: isIPv6)
    let port = rig.port
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port, isIPv6: isIPv6) }
    do {
      var receiver = try rig.receiver()
      let received = try rig.drain(&receiver) { fragment, _ in
        #expect(fragment.placement == .device)
        _ = consume fragment
      }
      #expect(received == byteCount)
      try receiver.flush()
      #expect(receiver.tokensOwed == 0)
      let statistics = receiver.statistics
      #expect(statistics.deviceByteCount == byteCount)
      #expect(statistics.linearByteCount == 0 && statistics.unboundByteCount == 0)
      #expect(statistics.tokensReturned == statistics.deviceFragments)
      #expect(statistics.tokensUnknown == 0 && statistics.failedTokenCalls == 0)
      // Batches: many fragments a call.
      #expect(statistics.tokenCalls * 4 < statistics.deviceFragments)
    }
    let outcome = try job.join()
    #expect(outcome.heldCount == 0)
    #expect(outcome.statistics.deviceByteCount == byteCount)
    #expect(outcome.statistics.copiedByteCount == 0 && outcome.statistics.copiedCalls == 0)
    #expect(outcome.statistics.completedCalls == outcome.statistics.calls)
    #expect(outcome.statistics.completionMessages <= outcome.statistics.calls)
    #expect(outcome.statistics.unexpectedCompletions == 0)
    try rig.expectAllBackAfterUnbinding()
  }

  @Test("a blocking socket waits, and tokens that come back meanwhile do not wait with it")
  func blocking() throws {
    let rig = try DevmemRig(byteCount: 1 << 20)
    let port = rig.port
    let byteCount = 3 << 20
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
    var receiver = try DevmemReceiver(
      stream: rig.accept(isBlocking: true), binding: rig.binding, linear: rig.linear)
    let ender = Worker()
    defer { ender.stop() }
    let received = try rig.drain(&receiver, exhausted: { usleep(1000) }) { fragment, offset in
      // All fragments end on another thread, some of them while this one waits for data.
      let held = HeldFragment(fragment, at: offset)
      ender.start { held.end() }
    }
    #expect(received == byteCount)
    ender.run {}
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    _ = try job.join()
  }

  @Test("four flows on four queues of one binding, four senders over one buffer")
  func fourFlows() throws {
    let byteCount = 2 << 20
    let rig = try DevmemRig(byteCount: 32 << 20, queues: [1, 2, 3, 4])
    let first = rig.port
    let listeners = try (1..<4).map { try DevmemRig.listen(first + UInt16($0), isIPv6: true) }
    let before = try DevmemSim.counters()
    let jobs = PeerJob { () -> [PeerSend.Outcome] in
      let interface = try NetworkInterface(named: DevmemSim.peer.interface)
      let buffer = try DMABuf.udmabuf(byteCount: 8 << 20)
      let binding = try NetdevBinding.transmit(buffer, interface: interface)
      let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
      let jobs = (0..<4).map { index in
        PeerJob {
          try PeerSend.devmem(
            byteCount, over: binding, carving, port: first + UInt16(index), seed: UInt64(index))
        }
      }
      return try jobs.map { try $0.join() }
    }
    let first0 = try rig.receiver()
    let boxes =
      [ReceiverBox(first0)]
      + (try listeners.map {
        ReceiverBox(
          try DevmemReceiver(
            stream: rig.accept(from: $0), binding: rig.binding, linear: rig.linear))
      })
    var received = [0, 0, 0, 0]
    for index in 0..<4 {
      try boxes[index].with { receiver in
        received[index] = try rig.drain(&receiver) { fragment, _ in
          #expect(fragment.placement == .device)
          _ = consume fragment
        }
        try receiver.flush()
        #expect(receiver.tokensOwed == 0)
      }
    }
    #expect(received == [byteCount, byteCount, byteCount, byteCount])
    #expect(try jobs.join().allSatisfy { $0.heldCount == 0 })
    let after = try DevmemSim.counters()
    for queue in 1...4 {
      let name = "rx\(queue)_unreadable"
      #expect(after[name, default: 0] > before[name, default: 0], "queue \(queue)")
    }
    for box in boxes { box.drop() }
    try rig.expectAllBackAfterUnbinding()
  }

  @Test("every 512th allocation of the card fails: TCP repeats, nothing is lost")
  func failedAllocations() throws {
    let byteCount = 8 << 20
    let rig = try DevmemRig()
    let port = rig.port
    try DevmemSim.with(.failAllocations, 512, at: DevmemSim.here) {
      let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
      var receiver = try rig.receiver()
      #expect(try rig.drain(&receiver) { fragment, _ in _ = consume fragment } == byteCount)
      #expect(receiver.statistics.deviceByteCount == byteCount)
      #expect(try job.join().heldCount == 0)
    }
    try rig.expectAllBackAfterUnbinding()
  }

  @Test("frames that get lost, in either direction, come again", arguments: [13, 50])
  func lostFrames(every: Int) throws {
    let byteCount = 1 << 20
    let rig = try DevmemRig()
    let port = rig.port
    try DevmemSim.with(.loseFrames, every, at: DevmemSim.here) {
      try DevmemSim.with(.loseFrames, every + 4, at: DevmemSim.peer) {
        let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
        var receiver = try rig.receiver()
        #expect(try rig.drain(&receiver) { fragment, _ in _ = consume fragment } == byteCount)
        #expect(receiver.statistics.deviceByteCount == byteCount)
        #expect(try job.join().heldCount == 0)
      }
    }
    try rig.expectAllBackAfterUnbinding()
  }

  @Test("completions that come late hold back the sender, not the bytes")
  func lateCompletions() throws {
    let byteCount = 2 << 20
    let rig = try DevmemRig()
    let port = rig.port
    try DevmemSim.with(.delayCompletions, 30, at: DevmemSim.peer) {
      let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
      var receiver = try rig.receiver()
      #expect(try rig.drain(&receiver) { fragment, _ in _ = consume fragment } == byteCount)
      let outcome = try job.join()
      #expect(outcome.heldCount == 0)
      #expect(outcome.statistics.completedCalls == outcome.statistics.calls)
    }
  }

  @Test("a sender that ends with calls in flight gives no buffer back before the kernel is done")
  func abandonedSender() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let job = PeerJob { () -> (Int, Bool) in
      let interface = try NetworkInterface(named: DevmemSim.peer.interface)
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      let binding = try NetdevBinding.transmit(buffer, interface: interface)
      let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
      let pool = try PagePool(provider: DMABufMemoryProvider(carving))
      let held = try DevmemSim.with(.delayCompletions, 200, at: DevmemSim.peer) { () -> Int in
        do {
          var sender = try DevmemSender(
            stream: PeerSend.connect(port, isIPv6: true).takeDescriptor(), binding: binding,
            carving: carving)
          var packet = Packet(fragmentCapacity: 64)
          for index in 0..<64 {
            var netmem = try pool.take()
            try buffer.withCPUAccess(.write) {
              try netmem.withMutableBytes { bytes in
                unsafe bytes.withUnsafeMutableBytes {
                  unsafe DevmemRig.pattern.fill($0, at: index * 4096)
                }
              }
            }
            packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: 4096))
          }
          #expect(try sender.send(&packet) == .sent)
        }
        return pool.inFlight.held
      }
      var isBack = false
      for _ in 0..<500 where !isBack {
        usleep(20_000)
        isBack = pool.inFlight.held == 0
      }
      return (held, isBack)
    }
    var receiver = try rig.receiver()
    #expect(try rig.drain(&receiver) { fragment, _ in _ = consume fragment } == 64 * 4096)
    let (held, isBack) = try job.join()
    #expect(held == 64)
    #expect(isBack)
  }

  @Test("a device fragment is forwarded out of the memory that it came into")
  func forwards() throws {
    // Received on dmsim0, sent back by dmsim0 out of the same buffer, bound for both.
    let rig = try DevmemRig()
    let port = rig.port
    let byteCount = 1 << 20
    let transmit = try NetdevBinding.transmit(rig.buffer, interface: rig.interface)
    let job = PeerJob { () -> Bool in
      let socket = SharedTCPSocket(try PeerSend.connect(port, isIPv6: true))
      let reader = Thread {
        try? PeerSend.plain(byteCount, over: socket)
        try? socket.finishSending()
      }
      reader.start()
      var block = [UInt8](repeating: 0, count: 64 << 10)
      var received = 0
      var isEqual = true
      while true {
        let count = try unsafe block.withUnsafeMutableBytes { bytes in
          let vector = unsafe IOVector(baseAddress: bytes.baseAddress, byteCount: bytes.count)
          let count = try unsafe withUnsafePointer(to: vector) {
            try unsafe socket.socket.descriptor.receive(
              into: UnsafeBufferPointer(start: $0, count: 1))
          }
          let got = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<count])
          if unsafe DevmemRig.pattern.firstDifference(in: got, at: received) != nil {
            isEqual = false
          }
          return count
        }
        if count == 0 { return isEqual && received == byteCount }
        received += count
      }
    }
    let socket = try rig.accept()
    var sender = try DevmemSender(stream: socket.duplicate(), binding: transmit)
    do {
      var receiver = try DevmemReceiver(
        stream: socket, binding: rig.binding, linear: rig.linear)
      var packet = receiver.makePacket()
      var forwarded = 0
      while forwarded < byteCount {
        switch try receiver.receive(into: &packet) {
        case .packet:
          forwarded += packet.payloadByteCount
          try sender.sendAll(&packet)
        case .wouldBlock:
          try sender.reapCompletions()
          #expect(try receiver.wait(milliseconds: 30_000))
        case .exhausted: _ = try sender.awaitCompletions()
        case .endOfStream: throw DevmemSim.Failure(description: "ended after \(forwarded)")
        }
      }
      try sender.finish()
      _ = try sender.awaitCompletions()
      try receiver.flush()
      #expect(receiver.tokensOwed == 0)
      #expect(sender.statistics.deviceByteCount == byteCount)
      #expect(sender.statistics.copiedByteCount == 0)
    }
    #expect(try job.join())
  }
}

/// A receiver where Swift wants something that can be copied.
final class ReceiverBox {
  private var receiver: DevmemReceiver?

  init(_ receiver: consuming DevmemReceiver) { self.receiver = consume receiver }

  func with(_ body: (inout DevmemReceiver) throws -> Void) throws {
    guard var taken = receiver.take() else { return }
    let result = Result { try body(&taken) }
    receiver = consume taken
    try result.get()
  }

  func drop() { receiver = nil }
}
