// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("One consumer")
struct OwnershipTests {
  /// Brings a pool to a thread where the compiler cannot see it.
  private final class Smuggled: @unchecked Sendable {
    let pool: PagePool
    init(_ pool: PagePool) { self.pool = pool }
  }

  @Test("allocating on a second thread traps, and says what to do")
  func foreignAllocation() async throws {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let smuggled = try Smuggled(PagePool(provider: ListProvider(iovCount: 8)))
      let worker = Worker()
      worker.run { _ = smuggled.pool.allocate() }
    }
    let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(text.contains("relinquish()"))
    #expect(text.contains("SingleThreadExecutor"))
  }

  @Test("allocating from a pool that nobody owns traps")
  func unclaimedAllocation() async {
    await #expect(processExitsWith: .failure) {
      let pool = try PagePool(provider: ListProvider(iovCount: 8))
      let right = pool.relinquish()
      _ = pool.allocate()
      _ = right.claim()
    }
  }

  @Test("relinquishing on a thread that is not the owner traps")
  func foreignRelinquish() async {
    await #expect(processExitsWith: .failure) {
      let smuggled = try Smuggled(PagePool(provider: ListProvider(iovCount: 8)))
      let worker = Worker()
      worker.run { _ = smuggled.pool.relinquish() }
    }
  }

  private final class Right: @unchecked Sendable {
    var ownership: PagePool.Ownership?
    init(_ ownership: consuming PagePool.Ownership) { self.ownership = consume ownership }
    func take() -> PagePool.Ownership { ownership.take()! }
  }

  @Test(
    "a pool that nobody owns is not the property of a thread that was never asked for its number")
  func threadWithoutNumber() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let held = Held(try pool.take())
    let remote = pool.remote
    let right = pool.relinquish()
    let queued = remote.inFlight.queued
    let worker = Worker()
    worker.run {
      #expect(!remote.isOwnedByCurrentThread)
      held.drop()
    }
    worker.stop()
    #expect(remote.inFlight.queued == queued + 1)
    _ = right.claim()
  }

  @Test("a pool that was handed over allocates on the new owner's thread only")
  func handOver() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    #expect(pool.isOwnedByCurrentThread)
    let right = Right(pool.relinquish())
    #expect(!pool.isOwnedByCurrentThread)
    let worker = Worker()
    worker.run {
      let there = right.take().claim()
      #expect(there.isOwnedByCurrentThread)
      #expect(there.canAllocate())
      right.ownership = there.relinquish()
    }
    let back = right.take().claim()
    #expect(back === pool)
    #expect(pool.canAllocate())
    worker.stop()
  }

  @Test("a right to allocate that is not claimed closes the pool")
  func unclaimed() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    _ = pool.canAllocate()
    do { _ = pool.relinquish() }
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
    #expect(!pool.canAllocate())
  }

  @Test("a thread that never had a pool does not own one that nobody owns")
  func nobodyIsNotEverybody() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    let held = Held(try pool.take())
    let before = pool.inFlight
    let remote = pool.remote
    let right = pool.relinquish()
    let worker = Worker()
    worker.run {
      #expect(!remote.isOwnedByCurrentThread)
      held.drop()
    }
    worker.stop()
    #expect(
      remote.inFlight
        == PagePool.InFlight(held: 0, cached: before.cached, queued: before.queued + 1))
    _ = right.claim()
  }

  @Test("a pool that was closed elsewhere can be handed over and configured, and stays closed")
  func handOverClosed() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    _ = pool.canAllocate()
    let remote = pool.remote
    let worker = Worker()
    worker.run { remote.close {} }
    worker.stop()
    pool.node = 1
    let back = pool.relinquish().claim()
    #expect(back === pool)
    #expect(!pool.canAllocate())
    #expect(provider.outCount == 0)
  }

  @Test("a buffer that dies on another thread waits on the queue and is taken at the next refill")
  func foreignReturn() throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    for _ in 0..<64 { held.append(Held(try pool.take())) }
    let worker = Worker()
    let boxes = held
    held = []
    worker.run { for box in boxes { box.drop() } }
    worker.stop()
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 0, queued: 64))
    #expect(pool.statistics.recycle.ring == 64)
    let netmem = try pool.take()
    #expect(netmem.referenceCount == 1)
    #expect(pool.statistics.alloc.refill == 1)
    #expect(provider.refillSizes == [64])
    #expect(pool.inFlight == PagePool.InFlight(held: 1, cached: 63, queued: 0))
  }

  @Test("what other threads return above the ring capacity goes back to the provider at the refill")
  func trim() throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 8, refillCount: 8, ringCapacity: 10))
    var held: [Held] = []
    for _ in 0..<100 { held.append(Held(try pool.take())) }
    while pool.inFlight.cached > 0 { held.append(Held(try pool.take())) }
    let count = held.count
    let worker = Worker()
    let boxes = held
    held = []
    worker.run { for box in boxes { box.drop() } }
    worker.stop()
    #expect(pool.inFlight.queued == count)
    let netmem = try pool.take()
    #expect(netmem.referenceCount == 1)
    #expect(pool.inFlight == PagePool.InFlight(held: 1, cached: 7, queued: 10))
    #expect(pool.statistics.recycle.ringFull == UInt64(count - 18))
    #expect(provider.outCount == 18)
  }
}
