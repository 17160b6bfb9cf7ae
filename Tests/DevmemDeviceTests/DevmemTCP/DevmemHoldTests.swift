// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// Fragments that are held long, end late, in any order, on any thread, or outlive what they came
/// from.
@Suite("Fragments of DevmemReceiver that are held", .onDevmemSim, .serialized)
struct DevmemHoldTests {
  @Test(
    "hundreds of held fragments keep their bytes under traffic; they end in any order, elsewhere"
  )
  func held() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let byteCount = 12 << 20
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
    var receiver = try rig.receiver()
    var held: [HeldFragment] = []
    let heldByteCount = try rig.drain(&receiver, to: 2 << 20) { fragment, offset in
      held.append(HeldFragment(fragment, at: offset))
    }
    #expect(held.count >= 400)
    #expect(receiver.tokensOwed == held.count)
    // The rest goes through what is left of the memory several times over.
    #expect(
      try rig.drain(&receiver, from: heldByteCount) { fragment, _ in _ = consume fragment }
        == byteCount)
    try receiver.flush()
    #expect(receiver.tokensOwed == held.count)
    #expect(try rig.areIntact(held))
    // No two of them share a byte.
    #expect(Set(held.compactMap(\.offset)).count == held.count)

    var random = SeededGenerator(seed: 42)
    held.shuffle(using: &random)
    let workers = (0..<3).map { _ in Worker() }
    defer { for worker in workers { worker.stop() } }
    for (index, fragment) in held.enumerated() { workers[index % 3].start { fragment.end() } }
    for worker in workers { worker.run {} }
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    #expect(receiver.statistics.tokensReturned == receiver.statistics.deviceFragments)
    #expect(receiver.statistics.tokensUnknown == 0)
    _ = try job.join()
  }

  @Test("as many fragments as may be held: the receiver says so, and goes on when some have ended")
  func limit() throws {
    let rig = try DevmemRig(byteCount: 4 << 20)
    let port = rig.port
    let byteCount = 3 << 20
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
    var receiver = try rig.receiver(DevmemReceiver.Configuration(tokenLimit: 100))
    let tokenLimit = receiver.tokenLimit
    var held: [HeldFragment] = []
    var stalls = 0
    var most = 0
    let received = try rig.drain(
      &receiver,
      exhausted: {
        stalls += 1
        most = max(most, held.count)
        // From the middle: not the oldest, not the newest.
        for _ in 0..<37 { held.remove(at: held.count / 2).end() }
      }
    ) { fragment, offset in held.append(HeldFragment(fragment, at: offset)) }
    #expect(received == byteCount)
    #expect(stalls > 0)
    #expect(most == tokenLimit)
    #expect(receiver.statistics.stalls == stalls)
    #expect(receiver.tokensOwed <= tokenLimit)
    #expect(try rig.areIntact(held))
    held.removeAll()
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    _ = try job.join()
  }

  @Test("all of the memory held: the card drops, TCP repeats, and what comes back lets it go on")
  func exhausted() throws {
    // 256 buffers, and leave to hold more than there are.
    let rig = try DevmemRig(byteCount: 1 << 20)
    let port = rig.port
    let byteCount = 4 << 20
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
    var receiver = try rig.receiver(DevmemReceiver.Configuration(tokenLimit: 10_000))
    var held: [HeldFragment] = []
    var packet = receiver.makePacket()
    var offset = 0
    var stops = 0
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        try rig.buffer.withCPUAccess(.read) {
          while let fragment = packet.popFirstFragment() {
            guard try DevmemRig.isPattern(fragment, at: offset) else {
              throw DevmemSim.Failure(description: "wrong bytes at \(offset)")
            }
            let byteCount = fragment.byteCount
            held.append(HeldFragment(fragment, at: offset))
            offset += byteCount
          }
        }
      case .wouldBlock:
        // Nothing for a while, with fragments held: then it is our memory that the flow waits for.
        if try receiver.wait(milliseconds: held.count > 100 ? 300 : 30_000) { continue }
        try #require(!held.isEmpty, "nothing came, and nothing is held")
        #expect(try rig.areIntact(held))
        held.removeAll()
        stops += 1
      case .exhausted: throw DevmemSim.Failure(description: "more was held than there is")
      case .endOfStream: break loop
      }
    }
    #expect(offset == byteCount)
    #expect(stops > 0)
    held.removeAll()
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    #expect(try job.join().heldCount == 0)
  }

  @Test("the receiver ends with fragments held: they keep their bytes, the peer learns of the end")
  func outliveReceiver() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let job = PeerJob { () -> Bool in
      let socket = SharedTCPSocket(try PeerSend.connect(port, isIPv6: true))
      do {
        try PeerSend.plain(64 << 20, over: socket)
        return false
      } catch let error as Errno {
        return error == .EPIPE || error == .ECONNRESET
      }
    }
    var held: [HeldFragment] = []
    do {
      var receiver = try rig.receiver()
      try rig.drain(&receiver, to: 1 << 20) { fragment, offset in
        held.append(HeldFragment(fragment, at: offset))
      }
    }
    #expect(try job.join(), "the peer could send on")
    // Another flow through the same memory.
    let second = PeerJob { try PeerSend.devmem(4 << 20, port: port) }
    do {
      var receiver = try rig.receiver()
      #expect(try rig.drain(&receiver) { fragment, _ in _ = consume fragment } == 4 << 20)
    }
    _ = try second.join()
    #expect(try rig.areIntact(held))
    let worker = Worker()
    defer { worker.stop() }
    let rest = held
    held.removeAll()
    worker.run { for fragment in rest { fragment.end() } }
    try rig.expectAllBackAfterUnbinding()
  }

  @Test(
    "unbound with fragments held: they keep their bytes, the rest is linear, new memory binds"
  )
  func outliveBinding() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let byteCount = 2 << 20
    let socket = try PeerJob { SharedTCPSocket(try PeerSend.connect(port, isIPv6: true)) }.join()
    var receiver = try rig.receiver()
    let first = PeerJob { try PeerSend.plain(1 << 20, over: socket) }
    var held: [HeldFragment] = []
    let firstHalf = try rig.drain(&receiver, to: 1 << 20) { fragment, offset in
      #expect(fragment.placement == .device)
      held.append(HeldFragment(fragment, at: offset))
    }
    #expect(firstHalf == 1 << 20)
    try first.join()
    rig.binding.close()
    #expect(try rig.poolInFlight() >= 256)
    // The kernel would take it, and let the card write over what is held.
    #expect(throws: DevmemError.self) {
      _ = try NetdevBinding.receive(rig.buffer, interface: rig.interface, queues: [3])
    }

    // The queue has ordinary memory again: the same flow goes on without ours.
    let second = PeerJob {
      try PeerSend.plain(1 << 20, over: socket, from: 1 << 20)
      try socket.finishSending()
    }
    let whole = try rig.drain(&receiver, from: 1 << 20) { fragment, _ in
      #expect(fragment.placement == .linear)
      _ = consume fragment
    }
    #expect(whole == byteCount)
    try second.join()
    #expect(receiver.statistics.unboundByteCount == 1 << 20)

    // The same memory is not for another packet yet.
    let refusal = #expect(throws: DevmemError.self) {
      try NetdevBinding.receive(rig.buffer, interface: rig.interface, queues: [3])
    }
    #expect(refusal?.code == .memoryInUse)

    // Other memory on the same queue, a new flow.
    let other = try DMABuf.udmabuf(byteCount: 8 << 20)
    let binding = try NetdevBinding.receive(other, interface: rig.interface, queues: [3])
    let third = PeerJob { try PeerSend.devmem(1 << 20, port: port) }
    do {
      var again = try DevmemReceiver(stream: rig.accept(), binding: binding, linear: rig.linear)
      var packet = again.makePacket()
      var received = 0
      loop: while true {
        switch try again.receive(into: &packet) {
        case .packet: received += packet.payloadByteCount
        case .wouldBlock: #expect(try again.wait(milliseconds: 30_000))
        case .exhausted: throw DevmemSim.Failure(description: "exhausted")
        case .endOfStream: break loop
        }
      }
      #expect(received == 1 << 20)
      #expect(again.statistics.deviceByteCount == 1 << 20)
    }
    _ = try third.join()
    binding.close()

    #expect(try rig.areIntact(held))
    held.removeAll()
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    try rig.expectAllBackAfterUnbinding()
    ReceiverBox(receiver).drop()
    try NetdevBinding.receive(rig.buffer, interface: rig.interface, queues: [3]).close()
  }

  @Test("a flow that is steered to another binding's memory is refused by its id, and owes nothing")
  func foreign() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let job = PeerJob { () -> Bool in
      do {
        _ = try PeerSend.devmem(1 << 20, port: port)
        return true
      } catch { return false }
    }
    var receiver = try DevmemReceiver(
      stream: rig.accept(), bindingID: rig.binding.id + 1000, buffer: rig.buffer,
      linear: rig.linear)
    var packet = receiver.makePacket()
    for _ in 0..<2 {
      #expect(try receiver.wait(milliseconds: 30_000))
      let error = #expect(throws: DevmemError.self) { _ = try receiver.receive(into: &packet) }
      #expect(error?.code == .foreignBinding)
      #expect(error?.remedy?.contains("dma-buf \(rig.binding.id)") == true)
    }
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    ReceiverBox(receiver).drop()
    _ = try job.join()
  }

  @Test("payload in device memory is refused to a plain receiver, in words that say who can")
  func plainReceiver() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let job = PeerJob { try? PeerSend.devmem(1 << 16, port: port) }
    let pool = try PagePool(provider: HostMemoryProvider(byteCount: 1 << 20))
    do {
      var receiver = try HeaderSplitReceiver(
        unframed: rig.accept(isBlocking: true), maximumByteCount: 65536, payload: pool)
      var packet = receiver.makePacket()
      let error = #expect(throws: HeaderSplitError.socket(.EFAULT)) {
        _ = try receiver.receive(into: &packet)
      }
      #expect(error?.description.contains("DevmemReceiver") == true)
    }
    _ = try job.join()
  }

  @Test("the kernel skips tokens that are junk or come twice, and the count shows it")
  func junkTokens() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let job = PeerJob { try PeerSend.devmem(1 << 20, port: port) }
    let socket = try rig.accept()
    var control = DMABufControl(capacity: 64)
    let host = try MemoryMapping.anonymous(byteCount: 65536)
    let vectors = unsafe [IOVector(baseAddress: host.baseAddress, byteCount: host.byteCount)]
    func give(_ ranges: [DMABufTokenRange]) throws -> Int {
      try unsafe ranges.withUnsafeBufferPointer { try socket.devmemDontNeed($0) }
    }
    var tokens: [UInt32] = []
    while tokens.count < 40 {
      #expect(try socket.wait(for: .readable, milliseconds: 30_000))
      let count = try unsafe vectors.withUnsafeBufferPointer {
        try control.receive(from: socket, into: $0, messageLimit: 64, waits: true)
      }
      try #require(count > 0)
      for position in 0..<control.count {
        #expect(!control[position].isLinear)
        #expect(control[position].bindingID == rig.binding.id)
        tokens.append(control[position].token)
      }
    }
    #expect(Set(tokens).count == tokens.count)
    let last = tokens.max()!
    #expect(try give([DMABufTokenRange(first: last + 1, count: 5)]) == 0)
    #expect(try give([DMABufTokenRange(first: 0, count: 1)]) == 0)
    #expect(try give([DMABufTokenRange(first: .max, count: 1)]) == 0)
    let one = DMABufTokenRange(first: tokens[0], count: 1)
    #expect(try give([one, one]) == 1)
    #expect(try give([one]) == 0)
    let rest = tokens.dropFirst().prefix(100).map { DMABufTokenRange(first: $0, count: 1) }
    #expect(try give(Array(rest.reversed())) == rest.count)
    #expect(throws: Errno.EINVAL) {
      _ = try give(Array(repeating: one, count: OwnedFileDescriptor.devmemTokenRangeLimit + 1))
    }
    // It looks at 1024 tokens and stops without a word.
    #expect(try give([DMABufTokenRange(first: 1, count: 1 << 20)]) == 0)
    // Not TCP.
    let (near, _) = try UnixSocket.pair()
    #expect(throws: Errno.EBADF) {
      _ = try unsafe [one].withUnsafeBufferPointer {
        try near.descriptor.devmemDontNeed($0)
      }
    }
    // What came and was not received goes with the connection, and the sender sees it.
    try socket.endConnection()
    #expect(throws: (any Error).self) { _ = try job.join() }
  }

  @Test("a refused return is repeated and nothing is lost")
  func refusedReturn() throws {
    let rig = try DevmemRig()
    let port = rig.port
    let byteCount = 2 << 20
    let job = PeerJob { try PeerSend.devmem(byteCount, port: port) }
    var receiver = try rig.receiver()
    let received = try SystemCallSeam.forcing(
      .ENOMEM, on: .devmemReturnTokens, occurrence: 2, times: 3
    ) {
      try rig.drain(&receiver) { fragment, _ in _ = consume fragment }
    }
    #expect(received == byteCount)
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
    #expect(receiver.statistics.failedTokenCalls == 3)
    #expect(receiver.statistics.tokensReturned == receiver.statistics.deviceFragments)
    _ = try job.join()
  }
}
