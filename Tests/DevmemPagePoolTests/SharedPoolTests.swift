// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Glibc
import Synchronization
import Testing

@testable import DevmemPagePool

/// Something that several closures share.
private final class Box<Value: Sendable>: Sendable {
  let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
}

@Suite("A pool that any thread may allocate from")
struct SharedPoolTests {
  private func allHeld(_ pool: SharedPagePool, _ count: Int) throws -> [Held] {
    try (0..<count).map { _ in Held(try pool.take()) }
  }

  @Test("one thread: last in first out, and every allocation and return counts once")
  func oneThread() throws {
    let provider = try ListProvider(iovCount: 300)
    let pool = try SharedPagePool(provider: provider)
    let first = try pool.take()
    let offset = first.offset
    _ = consume first
    for _ in 0..<1000 {
      let netmem = try pool.take()
      #expect(netmem.offset == offset)
    }
    var held = try allHeld(pool, 300)
    #expect(Set(held.map { $0.with { $0.offset } }).count == 300)
    #expect(!pool.canAllocate())
    #expect(pool.inFlight.held == 300)
    held.removeAll()
    let (at, statistics) = (pool.inFlight, pool.statistics)
    #expect(at.held == 0 && at.cached <= 128 && at.total == provider.outCount)
    #expect(statistics.allocationCount == 1301 && statistics.returnCount == 1301)
    #expect(statistics.exhausted == 1)
    pool.close {}
    #expect(provider.outCount == 0 && provider.attachedCount == 0)
    #expect(!pool.canAllocate() && pool.statistics.closed == 1)
  }

  @Test("a buffer that dies on another thread joins that thread's cache")
  func joins() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try SharedPagePool(provider: provider)
    let held = Held(try pool.take())
    let offset = held.with { $0.offset }
    let worker = Worker()
    worker.run {
      held.drop()
      guard let again = pool.allocate() else { return #expect(Bool(false)) }
      #expect(again.offset == offset)
    }
    #expect(pool.inFlight.held == 0 && pool.statistics.returnCount == 2)
    worker.stop()
  }

  @Test(
    "what idle threads' caches hold is called back before an allocation fails", arguments: [1, 7])
  func calledBack(idleThreads: Int) throws {
    let provider = try ListProvider(iovCount: 100 * idleThreads)
    let pool = try SharedPagePool(provider: provider)
    let idle = (0..<idleThreads).map { _ in Worker() }
    for worker in idle {
      worker.run {
        _ = pool.allocateBatch(100)
      }
    }
    // Some are kept whole, some lie on the stack.
    idle[0].run { _ = pool.allocate() }
    #expect(pool.inFlight.cached > 0)
    var held = try allHeld(pool, 100 * idleThreads)
    #expect(!pool.canAllocate())
    #expect(pool.inFlight.cached == 0)
    held.removeAll()
    for worker in idle {
      worker.run { _ = pool.allocateBatch(20) }
      worker.stop()
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
  }

  @Test("a thread's part goes to the depot at its end, and to the next thread")
  func threadEnds() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try SharedPagePool(provider: provider)
    for _ in 0..<50 {
      let worker = Worker()
      worker.run {
        let batch = pool.allocateBatch(50)
        #expect(batch.count == 50)
      }
      worker.stop()
    }
    eventually { pool.inFlight.cached == 0 }
    #expect(pool.core.depot.withLock { $0.allParts.count } <= 50)
    let worker = Worker()
    worker.run { #expect(pool.allocateBatch(64).count == 64) }
    worker.stop()
    // Nothing in its cache does not say that it has ended: another one may have called that back.
    eventually { pool.core.depot.withLock { $0.parts.isEmpty } }
    #expect(pool.core.depot.withLock { $0.iovs.count } == 64)
    pool.close {}
    #expect(provider.outCount == 0)
  }

  private func eventually(_ condition: () -> Bool) {
    while !condition() { sched_yield() }
  }

  @Test("more pools than a thread has places for, turn by turn")
  func manyPools() throws {
    let provider = try ListProvider(iovCount: 40 * 8)
    let pools = try (0..<40).map { _ in
      try SharedPagePool(
        provider: provider, configuration: .init(cacheCapacity: 8, refillCount: 8))
    }
    for _ in 0..<50 {
      for pool in pools {
        _ = try pool.take()
        #expect(pool.allocateBatch(3).count == 3)
      }
    }
    for pool in pools {
      #expect(pool.core.depot.withLock { $0.parts.count } == 1)
      #expect(pool.inFlight.total == 8)
      pool.close {}
    }
    #expect(provider.outCount == 0)
  }

  @Test("batches: kept whole, too large for the cache, of everything there is, and gone elsewhere")
  func batches() throws {
    let provider = try ListProvider(iovCount: 500)
    let pool = try SharedPagePool(provider: provider)
    for count in [1, 64, 64, 63, 65, 128, 129, 400, 1] {
      let batch = pool.allocateBatch(count)
      #expect(batch.count == count && pool.inFlight.held == count)
    }
    #expect(pool.inFlight.held == 0)
    let all = pool.allocateBatch(.max)
    #expect(all.count == 500 && pool.inFlight.held == 500)
    let carried = Carried(all)
    let worker = Worker()
    worker.run { carried.drop() }
    #expect(pool.inFlight.held == 0)
    for _ in 0..<10 {
      let carried = Carried(pool.allocateBatch(64))
      worker.run { carried.drop() }
    }
    worker.run {
      var returner = NetmemReturner(capacity: 16)
      for _ in 0..<40 { returner.put(pool.allocate()!) }
    }
    let statistics = pool.statistics
    #expect(pool.inFlight.held == 0)
    #expect(statistics.allocationCount == statistics.returnCount)
    #expect(statistics.allocationCount == 915 + 500 + 640 + 40)
    worker.stop()
  }

  private final class Carried: @unchecked Sendable {
    private var batch: NetmemBatch?
    init(_ batch: consuming NetmemBatch) { self.batch = consume batch }
    func drop() { batch = nil }
  }

  @Test(
    "a waiting task gets the next buffer that comes back, also into another thread's cache",
    arguments: [false, true])
  func waiting(elsewhere: Bool) async throws {
    let provider = try ListProvider(iovCount: 2)
    let pool = try SharedPagePool(provider: provider)
    let worker = Worker()
    // The other thread has a cache to keep things in.
    worker.run { _ = pool.allocate() }
    let held = try allHeld(pool, 2)
    let task = Task { try await pool.allocate(waiting: nil).offset }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    let offset = held[0].with { $0.offset }
    if elsewhere { worker.run { held[0].drop() } } else { held[0].drop() }
    #expect(try await task.value == offset)
    held[1].drop()
    worker.stop()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
  }

  @Test("a wait finds what another thread's cache holds, and ends by time, cancelling and closing")
  func waits() async throws {
    let provider = try ListProvider(iovCount: 1)
    let pool = try SharedPagePool(provider: provider)
    let worker = Worker()
    worker.run { _ = pool.allocate() }
    let held = Held(try await pool.allocate(waiting: .seconds(100)))
    await #expect(throws: PagePoolError.timedOut) {
      _ = try await pool.allocate(waiting: .milliseconds(1))
    }
    let cancelled = Task { _ = try await pool.allocate(waiting: nil) }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    let closed = Task { _ = try await pool.allocate(waiting: nil) }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    pool.close {}
    await #expect(throws: PagePoolError.closed) { try await closed.value }
    await #expect(throws: PagePoolError.closed) { _ = try await pool.allocate(waiting: nil) }
    await #expect(throws: PagePoolError.self) { try await pool.close(waitingAtMost: .zero) }
    held.drop()
    try await pool.close()
    #expect(provider.outCount == 0 && provider.attachedCount == 0)
    worker.stop()
  }

  @Test("a task that goes from thread to thread allocates everywhere")
  func wandering() async throws {
    let pool = try SharedPagePool(provider: ListProvider(iovCount: 256))
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<200 {
            let isThere: Bool
            do {
              let netmem = pool.allocate()
              await Task.yield()
              isThere = netmem != nil
            }
            #expect(isThere)
          }
        }
      }
    }
    #expect(pool.inFlight.held == 0)
    try await pool.close()
  }

  @Test("tokens: good once, on any thread; stale and foreign ones are refused")
  func tokens() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try SharedPagePool(provider: provider)
    let other = try SharedPagePool(provider: provider)
    let single = try PagePool(provider: provider)
    let here = try pool.take().detach()
    let there = try pool.take().detach()
    #expect(throws: NetmemTokenError.stale) { _ = try other.reclaim(here) }
    #expect(throws: NetmemTokenError.stale) { _ = try single.reclaim(here) }
    _ = try pool.reclaim(here)
    #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try pool.reclaim(here) }
    let worker = Worker()
    worker.run {
      #expect(throws: Never.self) { _ = try pool.reclaim(there) }
      #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try pool.reclaim(there) }
    }
    worker.stop()
    let shared = try pool.take()
    let second = shared.share().detach()
    let first = shared.detach()
    #expect(throws: NetmemTokenError.self) { _ = try other.reclaim(second) }
    _ = try pool.reclaim(first)
    _ = try pool.reclaim(second)
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.refusedTokens == 2)
  }

  @Test("the reserve serves critical allocations only, and is filled again")
  func reserve() throws {
    let pool = try SharedPagePool(
      provider: ListProvider(iovCount: 10), configuration: .init(reserveCount: 3))
    #expect(pool.inFlight.reserved == 3)
    var held = try allHeld(pool, 7)
    #expect(!pool.canAllocate())
    for _ in 0..<3 { held.append(Held(pool.allocate(.critical)!)) }
    #expect(!pool.canAllocate(.critical))
    #expect(pool.statistics.reserveUsed == 3 && pool.statistics.reserveExhausted == 1)
    // The one above that was not critical: who was served has not got nothing.
    #expect(pool.statistics.exhausted == 1)
    held.removeAll()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
  }

  @Test("watermarks: each crossing once, whichever thread's return it is")
  func watermarks() throws {
    let log = Box<[PagePool.Watermarks.Level]>([])
    let pool = try SharedPagePool(
      provider: ListProvider(iovCount: 200),
      configuration: .init(
        refillCount: 10,
        watermarks: .init(low: 20, high: 100) { level in log.value.withLock { $0.append(level) } }))
    let worker = Worker()
    for round in 1...3 {
      var held = try allHeld(pool, 150)
      #expect(log.value.withLock { $0.count } == 2 * round - 1)
      let boxes = Array(held[..<129])
      held.removeFirst(129)
      worker.run { for box in boxes { box.drop() } }
      #expect(log.value.withLock { $0.last } == .high)
      held.removeLast()
      #expect(log.value.withLock { $0.last } == .low)
      #expect(log.value.withLock { $0.count } == 2 * round)
    }
    worker.stop()
  }

  @Test("closing out of a callback, and dropping the last reference there")
  func closeInCallback() throws {
    let provider = try ListProvider(iovCount: 64)
    let box = Box<SharedPagePool?>(nil)
    let pool = Box<SharedPagePool?>(
      try SharedPagePool(
        provider: provider,
        configuration: .init(
          refillCount: 10,
          watermarks: .init(low: 1, high: 5) { level in
            let pool = box.value.withLock { $0.take() }
            if level == .high { pool?.close {} }
          })))
    box.value.withLock { $0 = pool.value.withLock { $0 } }
    var held: [Held] = []
    while let netmem = pool.value.withLock({ $0 })?.allocate() { held.append(Held(netmem)) }
    #expect(held.count >= 5)
    pool.value.withLock { $0 = nil }
    held.removeAll()
    #expect(provider.outCount == 0 && provider.attachedCount == 0)
  }

  @Test("the last buffer outlives the pool, and ends it on whatever thread")
  func lastReturn() throws {
    let provider = try ListProvider(iovCount: 64)
    for round in 0..<20 {
      let held: Held
      do {
        let pool = try SharedPagePool(provider: provider)
        held = Held(try pool.take())
        _ = try allHeld(pool, 20)
      }
      #expect(provider.outCount == 1 && provider.attachedCount == 1)
      let worker = Worker()
      if round & 1 == 0 { worker.run { held.drop() } } else { held.drop() }
      #expect(provider.outCount == 0 && provider.attachedCount == 0)
      worker.stop()
    }
  }

  @Test("what only one owner can have is refused, and nothing is left of it")
  func refused() throws {
    let provider = try ListProvider(iovCount: 64)
    for configuration in [
      PagePool.Configuration(node: 0), PagePool.Configuration(tunesRefill: true),
      PagePool.Configuration(cacheCapacity: 1),
    ] {
      #expect(throws: PagePoolError.self) {
        _ = try SharedPagePool(provider: provider, configuration: configuration)
      }
    }
    #expect(provider.attachedCount == 0)
  }

  @Test("the depot keeps what it may, and gives the rest to the provider")
  func depotLimit() throws {
    let provider = try ListProvider(iovCount: 1000)
    let pool = try SharedPagePool(
      provider: provider, configuration: .init(ringCapacity: 100))
    var held = try allHeld(pool, 1000)
    held.removeAll()
    #expect(pool.inFlight.queued <= 100 && pool.inFlight.cached <= 128)
    #expect(provider.outCount == pool.inFlight.total)
    #expect(pool.statistics.recycle.ringFull > 0)
  }
}
