// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Making pools and slabs")
struct ConfigurationTests {
  @Test(
    "numbers out of range are refused and the provider is never attached",
    arguments: [(1, 1, 0), (65537, 64, 0), (128, 0, 0), (128, 129, 0), (128, 64, -1)])
  func outOfRange(cache: Int, refill: Int, ring: Int) throws {
    let provider = try ListProvider(iovCount: 8)
    #expect(throws: PagePoolError.self) {
      try PagePool(
        provider: provider,
        configuration: .init(cacheCapacity: cache, refillCount: refill, ringCapacity: ring))
    }
    #expect(provider.attachedCount == 0)
  }

  private final class Mixed: MemoryProvider {
    let name = "mixed"
    let parts: [ListProvider]
    init(_ parts: [ListProvider]) { self.parts = parts }
    func attach(
      to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
    ) -> [NetIOVSlab] {
      var slabs: [NetIOVSlab] = []
      for part in parts { slabs += part.attach(to: pool, access) }
      return slabs
    }
    func refill(
      _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
    ) { parts[0].refill(&span, access) }
    func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess) {
      parts[0].release(iovs, access)
    }
    func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
      for part in parts { part.detach(from: pool, access) }
    }
  }

  @Test("a provider with two IOV sizes is refused and detached again")
  func mixedSizes() throws {
    let parts = [
      try ListProvider(iovCount: 4), try ListProvider(iovCount: 4, iovByteCount: 8192),
    ]
    #expect(throws: PagePoolError.mixedIOVByteCounts([4096, 8192])) {
      try PagePool(provider: Mixed(parts))
    }
    #expect(parts.map(\.attachedCount) == [0, 0])
  }

  @Test("a pool finds buffers of several slabs")
  func severalSlabs() throws {
    let parts = [try ListProvider(iovCount: 4), try ListProvider(iovCount: 4)]
    let pool = try PagePool(provider: Mixed(parts))
    let token = try pool.take().detach()
    _ = try pool.reclaim(token)
  }

  @Test("IOV sizes that cannot be are refused", arguments: [0, -1, 100, 128, 3000, 1 << 31])
  func iovSizes(byteCount: Int) {
    final class Nothing: Sendable {}
    #expect(throws: NetIOVSlabError.invalidIOVByteCount(byteCount)) {
      try NetIOVSlab(iovByteCount: byteCount, layout: [], backing: Nothing())
    }
  }

  @Test("a slab without IOVs is refused")
  func emptySlab() {
    final class Nothing: Sendable {}
    #expect(throws: NetIOVSlabError.emptyArea) {
      try NetIOVSlab(iovByteCount: 4096, layout: [], backing: Nothing())
    }
  }

  @Test("index ranges are given back and joined", arguments: 0..<8 as Range<UInt64>)
  func indexSpace(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let space = NetIOVIndexSpace()
    let all = Int(NetmemToken.firstSharedIndex) - 1
    let whole = try #require(space.take(count: all))
    #expect(space.take(count: 1) == nil)
    space.release(whole.value, count: UInt32(all), nextGeneration: whole.generation &+ 2)
    var taken: [(first: UInt32, count: Int, generation: UInt32)] = []
    var used = Set<UInt32>()
    for _ in 0..<2000 {
      if Bool.random(using: &random) || taken.isEmpty {
        let count = Int.random(in: 1...20, using: &random)
        let start = try #require(space.take(count: count))
        for index in start.value..<start.value + UInt32(count) {
          #expect(used.insert(index).inserted)
        }
        #expect(start.value != 0)
        taken.append((start.value, count, start.generation))
      } else {
        let (first, count, generation) = taken.remove(
          at: Int.random(in: 0..<taken.count, using: &random))
        for index in first..<first + UInt32(count) { used.remove(index) }
        space.release(first, count: UInt32(count), nextGeneration: generation &+ 2)
      }
    }
    for (first, count, generation) in taken {
      space.release(first, count: UInt32(count), nextGeneration: generation &+ 2)
    }
    #expect(space.take(count: all) != nil)
  }

  @Test("the test provider passes the conformance checks", arguments: [1, 63, 64, 65, 500])
  func conformance(iovCount: Int) throws {
    try checkMemoryProvider(ListProvider(iovCount: iovCount))
  }

  private final class HandsOutTwice: MemoryProvider {
    let name = "twice"
    let list: ListProvider
    init() throws { list = try ListProvider(iovCount: 2) }
    func attach(
      to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
    ) -> [NetIOVSlab] { [list.slab] }
    func refill(
      _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
    ) {
      span.append(list.slab[0])
      if !span.isFull { span.append(list.slab[0]) }
    }
    func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess) {}
    func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
  }

  @Test("a provider that hands a buffer out twice is stopped")
  func badProvider() async {
    await #expect(processExitsWith: .failure) {
      let pool = try PagePool(provider: HandsOutTwice())
      _ = pool.allocate()
    }
  }
}
