// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// The same random trace of taking, holding and returning through the kernel's page pool, by
/// traffic, and through ours: what both count has to agree.
@Suite("The kernel's page pool and ours", .onDevmemSim, .serialized)
struct PoolDifferentialTests {
  /// Our pool, in which a buffer is out as long as a fragment of the kernel's buffer is held.
  private final class Model {
    let pool: PagePool
    /// For each of the kernel's buffers that is held: our buffer, and how many fragments it has.
    private var held: [UInt64: (netmem: Held, count: Int)] = [:]

    init(_ pool: PagePool) { self.pool = pool }

    func take(_ buffer: UInt64) throws {
      if let entry = held[buffer] {
        held[buffer] = (entry.netmem, entry.count + 1)
      } else {
        held[buffer] = (Held(try pool.take()), 1)
      }
    }

    func end(_ buffer: UInt64) throws {
      guard let entry = held[buffer] else {
        throw DevmemSim.Failure(description: "a fragment ends that nobody has")
      }
      held[buffer] = entry.count > 1 ? (entry.netmem, entry.count - 1) : nil
    }
  }

  /// Of a provider's buffers the kernel counts the allocation in `empty` alone.
  private func allocations(_ statistics: PagePool.Statistics) -> UInt64 {
    statistics.alloc.fast + statistics.alloc.refill + statistics.alloc.empty
  }

  @Test("in-flight, allocations and returns agree at every quiet moment", arguments: [1, 2, 3])
  func trace(seed: UInt64) throws {
    let rig = try DevmemRig(byteCount: 4 << 20)
    let port = rig.port
    var random = SeededGenerator(seed: seed)
    let socket = try PeerJob { SharedTCPSocket(try PeerSend.connect(port, isIPv6: true)) }.join()
    var receiver = try rig.receiver(
      DevmemReceiver.Configuration(fragmentLimit: 1024, byteLimit: 1 << 20, tokenLimit: 900))
    var family = try DevmemNet.NetdevFamily()
    let kernelPool = try #require(
      try family.pagePools(of: rig.interface).first { $0.dmabufID == rig.binding.id })

    // As the kernel's: one buffer at a time from the provider, and only when none is cached or
    // queued.
    let model = Model(
      try PagePool(
        provider: try ListProvider(iovCount: rig.buffer.byteCount / 4096, kind: .device),
        configuration: PagePool.Configuration(refillCount: 1, ringCapacity: 1024)))
    var held: [HeldFragment] = []
    var streamOffset = 0
    for round in 0..<25 {
      let count = Int.random(in: 1...(200 << 10), using: &random)
      let start = streamOffset
      let job = PeerJob { try PeerSend.plain(count, over: socket, from: start) }
      streamOffset = try rig.drain(&receiver, from: start, to: start + count) { fragment, offset in
        try model.take(fragment.offset / 4096)
        held.append(HeldFragment(fragment, at: offset))
      }
      try job.join()
      held.shuffle(using: &random)
      let keeps = Int.random(in: 0...min(held.count, 500), using: &random)
      while held.count > keeps {
        let fragment = held.removeLast()
        try model.end(fragment.offset! / 4096)
        fragment.end()
      }
      try receiver.flush()
      #expect(receiver.tokensOwed == held.count)

      let ours = model.pool.statistics
      let inFlight = model.pool.inFlight
      let heldCount = ours.allocationCount - ours.returnCount
      var kernel = try family.pagePoolStatistics(kernelPool.id).counters
      // Packets that were read are freed a little later: see DeferredPackets.
      for _ in 0..<200 where allocations(kernel) - kernel.returnCount != heldCount {
        DeferredPackets.free()
        usleep(5000)
        kernel = try family.pagePoolStatistics(kernelPool.id).counters
      }
      let kernelInFlight = try family.pagePool(kernelPool.id).inFlight
      // A segment that TCP repeats needlessly takes buffers, too, which are back at once.
      let repeated = kernel.returnCount &- ours.returnCount
      try #require(
        allocations(kernel) &- ours.allocationCount == repeated,
        "seed \(seed), round \(round): allocations")
      try #require(repeated < 1000, "seed \(seed), round \(round): returns")
      // What is out of the provider is the most that was ever held at once, for both.
      let total = UInt64(inFlight.total)
      try #require(
        (total...total + repeated).contains(kernelInFlight),
        "seed \(seed), round \(round): in flight \(kernelInFlight), ours \(total)")
      #expect(kernel.alloc.slow == 0)
    }
    #expect(try rig.areIntact(held))
  }
}
