// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Synchronization
import Testing

@testable import DevmemPagePool

/// On an actor that has a thread of its own: what waits resumes on the thread that owns the pool.
@PoolThread
@Suite("Waiting for a buffer")
struct WaiterTests {
  @Test("a pool with buffers does not wait")
  func immediate() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let netmem = try await pool.allocate(waiting: nil)
    #expect(netmem.byteCount == 4096)
  }

  @Test(
    "a waiting task gets the next buffer that comes back, from whatever thread",
    arguments: [false, true])
  func handOver(onOwner: Bool) async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    let offset = held.with { $0.offset }
    let task = Task { @PoolThread in
      let netmem = try await pool.allocate(waiting: nil)
      return netmem.offset
    }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    if onOwner {
      held.drop()
    } else {
      let worker = Worker()
      worker.run { held.drop() }
      worker.stop()
    }
    #expect(try await task.value == offset)
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == 2)
    #expect(pool.statistics.returnCount == 2)
  }

  @Test("a buffer that came back between the failure and the wait is not missed")
  func alreadyBack() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    #expect(!pool.canAllocate())
    let worker = Worker()
    worker.run { held.drop() }
    worker.stop()
    let netmem = try await pool.allocate(waiting: nil)
    #expect(netmem.byteCount == 4096)
  }

  @Test("what another pool gave to the provider goes to who waits when it is noticed")
  func noticed() async throws {
    let provider = try ListProvider(iovCount: 4)
    let other = try PagePool(provider: provider)
    let held = Held(try other.take())
    let pool = try PagePool(provider: provider)
    let tasks = (0..<2).map { _ in
      Task { @PoolThread in _ = try await pool.allocate(waiting: .seconds(100)) }
    }
    while pool.core.waiterCount.load(ordering: .relaxed) < 2 { await Task.yield() }
    held.drop()
    other.close {}
    // The four that are there now go to the two tasks, to this allocation, and into the cache.
    let here = Held(try pool.take())
    for task in tasks { try await task.value }
    here.drop()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
  }

  @Test("tasks are served in their order")
  func order() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    let served = Mutex<[Int]>([])
    var tasks: [Task<Void, any Error>] = []
    for number in 0..<5 {
      tasks.append(
        Task { @PoolThread in
          let netmem = try await pool.allocate(waiting: nil)
          served.withLock { $0.append(number) }
          _ = consume netmem
        })
      while pool.core.waiterCount.load(ordering: .relaxed) <= number { await Task.yield() }
    }
    held.drop()
    for task in tasks { try await task.value }
    #expect(served.withLock { $0 } == [0, 1, 2, 3, 4])
    #expect(pool.inFlight.held == 0)
  }

  @Test("cancellation ends the wait and loses nothing")
  func cancel() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    let task = Task { @PoolThread in
      let netmem = try await pool.allocate(waiting: nil)
      _ = consume netmem
    }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    held.drop()
    #expect(pool.inFlight.held == 0)
    #expect(pool.canAllocate())
  }

  @Test("a task that was cancelled before it waits does not wait")
  func cancelledBefore() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    let task = Task { @PoolThread in
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      let netmem = try await pool.allocate(waiting: nil)
      _ = consume netmem
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    held.drop()
    #expect(pool.canAllocate())
  }

  @Test("a wait can have a limit")
  func timeout() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    await #expect(throws: PagePoolError.timedOut) {
      let netmem = try await pool.allocate(waiting: .milliseconds(1))
      _ = consume netmem
    }
    held.drop()
    #expect(pool.inFlight.held == 0)
  }

  @Test("closing ends all waits")
  func close() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let held = Held(try pool.take())
    let task = Task { @PoolThread in
      let netmem = try await pool.allocate(waiting: nil)
      _ = consume netmem
    }
    while pool.core.waiterCount.load(ordering: .relaxed) == 0 { await Task.yield() }
    let drained = DrainFlag()
    pool.close { drained.set() }
    await #expect(throws: PagePoolError.closed) { try await task.value }
    held.drop()
    #expect(drained.isSet)
  }

  @Test(
    "many waits, cancellations and returns from three threads: nothing is lost",
    arguments: 0..<3 as Range<UInt64>)
  func storm(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    let workers = (0..<3).map { _ in Worker() }
    var tasks: [Task<Void, any Error>] = []
    for number in 0..<300 {
      let worker = workers[number % 3]
      let onOwner = Bool.random(using: &random)
      let task = Task { @PoolThread in
        let held = Held(try await pool.allocate(waiting: .seconds(20)))
        if onOwner { held.drop() } else { worker.start { held.drop() } }
      }
      if Int.random(in: 0..<5, using: &random) == 0 { task.cancel() }
      tasks.append(task)
      if Bool.random(using: &random) { await Task.yield() }
    }
    var timeouts = 0
    for task in tasks {
      do {
        try await task.value
      } catch is CancellationError {
      } catch {
        timeouts += 1
      }
    }
    #expect(timeouts == 0)
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == pool.statistics.returnCount)
    try await pool.close()
    #expect(provider.outCount == 0)
  }
}
