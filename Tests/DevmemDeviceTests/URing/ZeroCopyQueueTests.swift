// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Testing

@testable import devmemctl

/// io_uring's zero-copy receive over a card's queue.
@Suite("Zero-copy receive over a card's queue", .onDevmemSim, .serialized)
struct ZeroCopyQueueTests {
  @Test(
    "every byte is in the memory and none was copied, held by hundreds, ended in random order",
    arguments: [
      (false, ZeroCopyInstance.Source.MemoryMapping.descriptor), (true, .descriptor),
      (true, .cpuMapping),
    ])
  func transfer(isIPv6: Bool, mapping: ZeroCopyInstance.Source.MemoryMapping) throws {
    let byteCount = 24 << 20
    let rig = try ZeroCopyRig(isIPv6: isIPv6, mapping: mapping)
    #expect(try ZeroCopyRig.isBound())
    let job = rig.startSending(byteCount)
    let workers = [Worker(), Worker()]
    defer { for worker in workers { worker.stop() } }
    var random = SeededGenerator(seed: 8)
    var held: [HeldFragment] = []
    do {
      var receiver = try rig.receiver()
      let received = try rig.drain(&receiver) { fragment, _ in
        #expect(fragment.kind == .device && fragment.offset < UInt64(rig.memory.byteCount))
        held.append(HeldFragment(fragment, at: 0))
        while held.count > 400 {
          held.swapAt(Int.random(in: 0..<held.count, using: &random), held.count - 1)
          let fragment = held.removeLast()
          workers.randomElement(using: &random)!.start { fragment.end() }
        }
      } exhausted: {
        for worker in workers { worker.run {} }
      }
      #expect(received == byteCount)
      #expect(receiver.statistics.byteCount == byteCount)
      #expect(receiver.statistics.starved == 0)
      let statistics = rig.instance.statistics
      #expect(statistics.copyCount == 0 && statistics.copyByteCount == 0)
      #expect(statistics.copyEvents == 0)
      // The card takes what comes back out of the ring by itself.
      #expect(statistics.flushes == 0)
      for fragment in held { workers[0].start { fragment.end() } }
      for worker in workers { worker.run {} }
      held = []
      try receiver.replenish()
      #expect(receiver.heldCount == 0)
    }
    try job.join()
    try rig.end()
    #expect(try !ZeroCopyRig.isBound())
    // Nobody has the memory.
    _ = try DMABufCarving(rig.memory)
  }

  @Test("four connections of one instance, read in turn, each get their own bytes")
  func connections() throws {
    let byteCount = 3 << 20
    let rig = try ZeroCopyRig(byteCount: 16 << 20)
    let jobs = (0..<4).map { _ in rig.startSending(byteCount) }
    let first = try rig.receiver()
    let boxes = [ZeroCopyBox(first)] + (try (1..<4).map { _ in ZeroCopyBox(try rig.receiver()) })
    var rest = Set(0..<4)
    while !rest.isEmpty {
      var isIdle = true
      for index in rest {
        switch try boxes[index].step(rig.memory) {
        case .packet: isIdle = false
        case .endOfStream: rest.remove(index)
        case .exhausted: Issue.record("nothing is held")
        case .wouldBlock: break
        }
      }
      if isIdle, let index = rest.first {
        try #require(try boxes[index].wait(), "nothing more")
      }
    }
    #expect(boxes.map(\.byteCount) == [Int](repeating: byteCount, count: 4))
    for box in boxes { box.drop() }
    for job in jobs { try job.join() }
    #expect(rig.instance.statistics.copyCount == 0)
    try rig.end()
  }

  @Test("a connection that ends early, here or on another thread, takes nothing from the others")
  func earlyEnd() throws {
    let byteCount = 2 << 20
    let rig = try ZeroCopyRig()
    for isElsewhere in [false, true] {
      let started = ContinuousClock.now
      let abandoned = rig.startSending(64 << 20)
      let early = ZeroCopyBox(try rig.receiver())
      for _ in 0..<50 {
        if try early.step(rig.memory) == .wouldBlock { _ = try early.wait() }
      }
      #expect(early.byteCount > 0)
      let job = rig.startSending(byteCount)
      var receiver = try rig.receiver()
      if isElsewhere {
        let worker = Worker()
        worker.run { early.drop() }
        worker.stop()
      } else {
        early.drop()
      }
      #expect(try rig.drain(&receiver) == byteCount)
      try job.join()
      // The peer of the one that ended is told, at once: its socket is not kept open by a request.
      #expect(throws: (any Error).self) { try abandoned.join() }
      #expect(ContinuousClock.now - started < .seconds(45))
      try receiver.replenish()
      #expect(receiver.heldCount == 0)
    }
    try rig.end()
  }

  @Test("larger receive buffers", arguments: [16 << 10, 64 << 10])
  func largeBuffers(bufferByteCount: Int) throws {
    let byteCount = 8 << 20
    let rig = try ZeroCopyRig(
      byteCount: 16 << 20, pageSize: .huge2M,
      configuration: .init(bufferByteCount: bufferByteCount))
    let job = rig.startSending(byteCount)
    do {
      var receiver = try rig.receiver()
      var largest = 0
      let received = try rig.drain(&receiver) { fragment, _ in
        largest = max(largest, fragment.byteCount)
        _ = consume fragment
      }
      #expect(received == byteCount)
      #expect(largest > 4096 && largest <= bufferByteCount)
      #expect(rig.instance.statistics.copyCount == 0)
    }
    try job.join()
    try rig.end()
  }

  @Test("frames that get lost and allocations that fail cost no byte")
  func faults() throws {
    let byteCount = 2 << 20
    let rig = try ZeroCopyRig()
    try DevmemSim.with(.loseFrames, 50, at: DevmemSim.here) {
      try DevmemSim.with(.failAllocations, 512, at: DevmemSim.here) {
        let job = rig.startSending(byteCount)
        var receiver = try rig.receiver()
        #expect(try rig.drain(&receiver) == byteCount)
        try job.join()
      }
    }
    try rig.end()
  }

  @Test("when too much is held the receiver says so, and goes on with the next byte, many times")
  func exhaustion() throws {
    let byteCount = 8 << 20
    let rig = try ZeroCopyRig(byteCount: 1 << 20)
    let job = rig.startSending(byteCount)
    var held: [HeldFragment] = []
    var times = 0
    var receiver = try rig.receiver()
    let received = try rig.drain(&receiver) { fragment, _ in
      held.append(HeldFragment(fragment, at: 0))
    } exhausted: {
      times += 1
      // Half of them: the card needs the rest.
      #expect(held.count >= 128)
      held.removeAll()
    }
    #expect(received == byteCount)
    #expect(times >= byteCount / (1 << 20))
    #expect(rig.instance.statistics.copyCount == 0)
    held = []
    try job.join()
  }

  @Test(
    "memory is added before anything is copied or ends",
    arguments: [ZeroCopyInstance.Source.MemoryMapping.descriptor, .cpuMapping])
  func growth(mapping: ZeroCopyInstance.Source.MemoryMapping) throws {
    let byteCount = 6 << 20
    let rig = try ZeroCopyRig(
      byteCount: 2 << 20, mapping: mapping,
      configuration: .init(
        growth: ZeroCopyGrowth(
          stepByteCount: 2 << 20, maximumByteCount: 16 << 20, lowWatermark: 384)))
    let job = rig.startSending(byteCount)
    var held: [HeldFragment] = []
    var receiver = try rig.receiver()
    // Not one byte is given back. The later memory is not `rig.memory`, whose bracket says nothing
    // of it: sums of what is there would not be allowed.
    var packet = receiver.makePacket()
    var received = 0
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        received += packet.payloadByteCount
        while let fragment = packet.popFirstFragment() {
          held.append(HeldFragment(fragment, at: 0))
        }
      case .wouldBlock: try #require(try receiver.wait(milliseconds: 60_000))
      case .exhausted: Issue.record("exhausted after \(received) bytes")
      case .endOfStream: break loop
      }
    }
    #expect(received == byteCount)
    let statistics = rig.instance.statistics
    #expect(statistics.growths >= 2 && statistics.failedGrowths == 0)
    #expect(statistics.copyCount == 0 && statistics.copyEvents == 0)
    #expect(receiver.statistics.starved == 0 && receiver.statistics.stalls == 0)
    held = []
    try job.join()
  }

  @Test("bytes that are not steered to the queue are copied, counted, told by an event; or refused")
  func outside() throws {
    let port: UInt16 = 5561
    for mapping in [ZeroCopyInstance.Source.MemoryMapping.cpuMapping, .descriptor] {
      let rig = try ZeroCopyRig(mapping: mapping)
      let listener = try DevmemRig.listen(port, isIPv6: true)
      let job = PeerJob {
        let socket = SharedTCPSocket(try PeerSend.connect(port, isIPv6: true))
        try PeerSend.plain(1 << 20, over: socket)
        try socket.finishSending()
      }
      do {
        var receiver = try ZeroCopyReceiver(
          stream: listener.socket.accept().takeDescriptor(), over: rig.instance,
          configuration: .init(waits: false))
        if mapping == .cpuMapping {
          let received = try rig.memory.withCPUAccess(.readWrite) { try rig.drain(&receiver) }
          #expect(received == 1 << 20)
          let statistics = rig.instance.statistics
          #expect(statistics.copyByteCount == 1 << 20 && statistics.copyCount > 0)
          #expect(statistics.copyEvents >= 1)
        } else {
          do {
            _ = try rig.drain(&receiver)
            Issue.record("it was received")
          } catch let error as URingError {
            #expect(error.code == .outsideMemory, "\(error)")
            #expect(error.remedy?.contains("--cpu-mapping") == true)
          }
        }
      }
      try? job.join()
      try rig.end()
    }
  }

  @Test("zero-copy send: buffers are kept until the card is done, also by a sender that has ended")
  func send() throws {
    struct Seen: Sendable {
      var statistics: ZeroCopySender.Statistics
      var heldAtEnd: Int
      var heldLater: Int
    }
    let byteCount = 2 << 20
    let port: UInt16 = 5571
    let listener = try DevmemRig.listen(port, isIPv6: true)
    try DevmemSim.with(.delayCompletions, 500, at: DevmemSim.peer) {
      let job = PeerJob { () -> Seen in
        let memory = try DMABuf.udmabuf(byteCount: 4 << 20)
        let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(memory)))
        let socket = try PeerSend.connect(port, isIPv6: true)
        var sent = 0
        var seen = Seen(statistics: .init(), heldAtEnd: 0, heldLater: 0)
        do {
          var sender = try ZeroCopySender(
            stream: socket.descriptor.duplicate(), memory: memory,
            configuration: .init(minimumByteCount: 0))
          var packet = Packet(fragmentCapacity: 16)
          while sent < byteCount {
            while packet.fragmentCount < 16, sent < byteCount, var netmem = pool.allocate() {
              try memory.withCPUAccess(.readWrite) {
                try netmem.withMutableBytes { bytes in
                  unsafe bytes.withUnsafeMutableBytes {
                    unsafe DevmemRig.pattern.fill($0, at: sent)
                  }
                }
              }
              packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: 4096))
              sent += 4096
            }
            try sender.sendAll(&packet)
          }
          try sender.reapCompletions()
          seen.statistics = sender.statistics
        }
        seen.heldAtEnd = pool.inFlight.held
        for _ in 0..<6000 where pool.inFlight.held > 0 { SystemProcess.pause(milliseconds: 10) }
        seen.heldLater = pool.inFlight.held
        return seen
      }
      let received = try PlainPeer.receiveAll(listener)
      #expect(received == Data(PlainPeer.pattern(byteCount, period: DevmemRig.period)))
      let seen = try job.join()
      #expect(seen.statistics.zeroCopyByteCount == byteCount)
      #expect(seen.statistics.plainByteCount == 0)
      // The sender has ended, and its bytes are with the card.
      #expect(seen.heldAtEnd > 0)
      #expect(seen.heldLater == 0)
    }
  }

  @Test("each refusal of the card has its own code and way out, and leaves nothing bound")
  func refusals() throws {
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    let memory = try DMABuf.udmabuf(byteCount: 1 << 20)
    func code(
      queue: UInt32 = ZeroCopyRig.queue, bufferByteCount: Int = 4096, _ memory: DMABuf
    ) -> DevmemError.Code? {
      do {
        _ = try ZeroCopyInstance(
          memory: memory, from: .queue(interface, queue),
          configuration: .init(bufferByteCount: bufferByteCount))
        Issue.record("it was taken")
        return nil
      } catch let error as DevmemError {
        #expect(error.remedy?.isEmpty == false, "\(error)")
        return error.code
      } catch {
        Issue.record("\(error)")
        return nil
      }
    }
    var ethtool = try EthtoolFamily()
    try ethtool.setHeaderSplit(of: interface, dataSplit: .disabled, threshold: nil)
    #expect(code(memory) == .headerSplitDisabled)
    try ethtool.setHeaderSplit(of: interface, dataSplit: .enabled, threshold: 100)
    #expect(code(memory) == .headerSplitThreshold)
    try ethtool.setHeaderSplit(of: interface, dataSplit: .enabled, threshold: 0)
    #expect(code(queue: 99, memory) == .queueMissing)
    do {
      let other = try DMABuf.udmabuf(byteCount: 1 << 20)
      let binding = try NetdevBinding.receive(
        other, interface: interface, queues: [ZeroCopyRig.queue])
      #expect(code(memory) == .queueBound)
      binding.close()
      let instance = try ZeroCopyInstance(memory: other, from: .queue(interface, ZeroCopyRig.queue))
      #expect(code(memory) == .queueBound)
      // And its memory is nobody else's.
      #expect(throws: DevmemError.self) { try DMABufCarving(other) }
      withExtendedLifetime(instance) {}
    }
    let large = try DMABuf.udmabuf(byteCount: 4 << 20, pageSize: .huge2M)
    #expect(code(bufferByteCount: 2 << 20, large) == .pageSizeUnsupported)
    #expect(try !ZeroCopyRig.isBound())
    _ = try DMABufCarving(memory)
  }

  @Test(
    "devmemctl send to devmemctl recv --wire zcrx over a card: equal digests, nothing copied",
    arguments: [([] as [String], false), (["--cpu-mapping", "--hold", "300"], true)])
  func command(options: [String], isIPv6: Bool) throws {
    let byteCount = 16 << 20
    let receiver = try DevmemctlProcess(
      ["recv", "--wire", "zcrx", "--interface", DevmemSim.here.interface, "--validate", "--json"]
        + ["--queues", "3"] + options)
    let address = DevmemSim.here.address(isIPv6: isIPv6)
    let sent = try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["ip", "netns", "exec", DevmemSim.namespace, DevmemctlProcess.executable.path, "send"]
        + ["--wire", "tcp", address, "--bytes", "\(byteCount)", "--json"]
        + ["--iov-size", "64K", "--connect-timeout", "60"]
    ).wait()
    let received = try receiver.wait()
    #expect(sent.status == 0, "\(sent.standardError)")
    #expect(received.status == 0, "\(received.standardError)")
    let out = try sent.json()
    let into = try received.json()
    #expect(out["sha256"] as? String == into["sha256"] as? String)
    #expect(into["byteCount"] as? Int == byteCount)
    #expect(into["deviceByteCount"] as? Int == byteCount)
    #expect(into["copyByteCount"] as? Int == 0)
    #expect(into["validated"] as? Bool == true)
    #expect(into["changedWhileHeld"] as? Int == 0)
    #expect(into["poolInFlightAfter"] as? Int == 0)
    #expect(try !ZeroCopyRig.isBound())
  }
}

/// A receiver where Swift wants something that can be copied.
final class ZeroCopyBox: @unchecked Sendable {
  private var receiver: ZeroCopyReceiver?
  private var packet: Packet
  private(set) var byteCount = 0

  init(_ receiver: consuming ZeroCopyReceiver) {
    packet = receiver.makePacket()
    self.receiver = consume receiver
  }

  /// Receives a packet if there is one; its bytes have to be the pattern's.
  func step(_ memory: DMABuf) throws -> ReceiveOutcome {
    guard var receiver = receiver.take() else { return .endOfStream }
    let (outcome, count) = try ZeroCopyRig.step(
      &receiver, &packet, memory, at: byteCount
    ) { fragment, _ in _ = consume fragment }
    byteCount += count
    self.receiver = consume receiver
    return outcome
  }

  func wait() throws -> Bool {
    guard let receiver = receiver.take() else { return true }
    let isReady = try receiver.wait(milliseconds: 60_000)
    self.receiver = consume receiver
    return isReady
  }

  /// Ends it, on the calling thread.
  func drop() { receiver = nil }
}
