// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

/// A provider that uses the very pool that calls it: nothing may be lost, and nothing be doubled.
@Suite("Providers that call back")
struct CallingBackTests {
  /// Brings a pool into a provider's call, where the compiler would not let it.
  private final class Smuggled: @unchecked Sendable {
    let pool: PagePool
    init(_ pool: PagePool) { self.pool = pool }
  }

  private static func takeAll(_ pool: PagePool) -> [Held] {
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    return held
  }

  private static func returnElsewhere(_ held: [Held]) {
    let worker = Worker()
    worker.run { for one in held { one.drop() } }
    worker.stop()
  }

  /// Everything comes back, and the pool ends.
  private func expectNothingLost(_ pool: PagePool, _ list: ListProvider) {
    #expect(pool.inFlight.held == 0)
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(drained.isSet)
    #expect(list.outCount == 0)
    // Not before: the buffer that fragments were cut from last is with the pool until then.
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
  }

  @Test("a buffer that comes back while the cache is refilled is not lost")
  func returnInRefill() throws {
    let list = try ListProvider(iovCount: 8)
    let provider = CallingProvider(list)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 4, refillCount: 4))
    var held: [Held] = []
    for _ in 0..<4 { held.append(Held(try pool.take())) }
    let one = held.removeLast()
    provider.callOnce(in: .refill) { one.drop() }
    held += Self.takeAll(pool)
    #expect(held.count == 8)
    held.removeAll()
    expectNothingLost(pool, list)
  }

  @Test("a buffer that comes back while the reserve is filled is not lost")
  func returnInReserve() throws {
    let list = try ListProvider(iovCount: 8)
    let provider = CallingProvider(list)
    let pool = try PagePool(
      provider: provider,
      configuration: .init(cacheCapacity: 4, refillCount: 4, reserveCount: 2))
    var held = Self.takeAll(pool)
    #expect(held.count == 6)
    for _ in 0..<2 { _ = try pool.take(.critical) }
    Self.returnElsewhere([held.removeLast()])
    let one = held.removeLast()
    provider.callOnce(in: .refill) { one.drop() }
    held += Self.takeAll(pool)
    held.removeAll()
    expectNothingLost(pool, list)
  }

  @Test("a buffer that comes back while those of another node are given away is not lost")
  func returnInWaive() throws {
    let list = try ListProvider(iovCount: 16, node: 0)
    let provider = CallingProvider(list)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 8, refillCount: 8))
    var held = Self.takeAll(pool)
    pool.node = 1
    Self.returnElsewhere(Array(held.prefix(5)))
    held.removeFirst(5)
    let one = held.removeLast()
    provider.callOnce(in: .release) { one.drop() }
    held += Self.takeAll(pool)
    held.removeAll()
    expectNothingLost(pool, list)
  }

  @Test("an allocation in a refill leaves nothing behind, of whole buffers and of fragments")
  func allocateInRefill() throws {
    let list = try ListProvider(iovCount: 16)
    let provider = CallingProvider(list)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 4, refillCount: 4))
    let smuggled = Smuggled(pool)
    provider.callOnce(in: .refill) { _ = smuggled.pool.allocate() }
    var held = [Held(try pool.take())]
    provider.callOnce(in: .refill) { _ = smuggled.pool.allocateFragment(byteCount: 100) }
    while pool.inFlight.cached > 0 { held.append(Held(try pool.take())) }
    do {
      let fragment = pool.allocateFragment(byteCount: 100)
      #expect(fragment?.byteCount == 128)
    }
    held += Self.takeAll(pool)
    held.removeAll()
    expectNothingLost(pool, list)
  }
}
