// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Synchronization
import Testing

@testable import DevmemPagePool

/// Batches travel whole, back from another thread as well as into the owner's cache.
@Suite("Batches that come back whole")
struct ReturnedBatchTests {
  private final class Box: @unchecked Sendable {
    var batch: NetmemBatch?
  }

  private func offsets(_ batch: borrowing NetmemBatch) -> [UInt64] {
    var result: [UInt64] = []
    batch.forEach { result.append($0.offset) }
    return result
  }

  /// Lets a batch die on another thread.
  private func end(_ batch: consuming NetmemBatch) {
    let box = Box()
    box.batch = consume batch
    let worker = Worker()
    worker.run { box.batch = nil }
    worker.stop()
  }

  @Test("and are handed out as they were to who wants as many")
  func whole() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let first = pool.allocateBatch(40)
    let its = offsets(first)
    end(first)
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 24, queued: 40))
    #expect(pool.statistics.recycle.ring == 40)
    do {
      let second = pool.allocateBatch(40)
      #expect(offsets(second) == its)
      #expect(pool.inFlight == PagePool.InFlight(held: 40, cached: 24, queued: 0))
    }
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 64, queued: 0))
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
    #expect(pool.statistics.alloc.refill == 1)
  }

  @Test(
    "the last one that came back on the owner's thread is kept whole", arguments: [1, 30, 40, 50])
  func keptWhole(count: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let its = offsets(pool.allocateBatch(40))
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 64, queued: 0))
    do {
      let batch = pool.allocateBatch(count)
      #expect((offsets(batch) == its) == (count == 40))
      #expect(pool.inFlight == PagePool.InFlight(held: count, cached: 64 - count, queued: 0))
    }
    // One by one they are all there as well.
    var held: [Held] = []
    for _ in 0..<64 { held.append(Held(try pool.take())) }
    #expect(Set(held.map { $0.with { $0.offset } }).count == 64)
    #expect(!pool.canAllocate())
    held.removeAll()
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
    #expect(pool.statistics.alloc.slow == 1)
  }

  @Test("one of another size takes its place")
  func replaced() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let first = offsets(pool.allocateBatch(40))
    let second = offsets(pool.allocateBatch(24))
    #expect(Set(first).isDisjoint(with: second))
    #expect(offsets(pool.allocateBatch(24)) == second)
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 64, queued: 0))
    let all = pool.allocateBatch(64)
    #expect(Set(offsets(all)) == Set(first + second))
  }

  @Test("a change of node, and closing, take the one that is kept whole along")
  func unload() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try PagePool(provider: provider)
    _ = pool.allocateBatch(40)
    pool.node = 0
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 0, queued: 0))
    #expect(provider.outCount == 0)
    _ = pool.allocateBatch(40)
    pool.close {}
    #expect(provider.outCount == 0)
  }

  @Test("or through the cache to who wants them otherwise", arguments: [1, 39, 41, 64])
  func parts(count: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    end(pool.allocateBatch(24))
    end(pool.allocateBatch(40))
    do {
      let batch = pool.allocateBatch(count)
      #expect(Set(offsets(batch)).count == count)
      #expect(pool.inFlight.held == count)
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
  }

  @Test("a batch that the cache cannot hold comes back one by one")
  func largerThanTheCache() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 16, refillCount: 16))
    end(pool.allocateBatch(40))
    #expect(pool.inFlight.queued == 40)
    let again = pool.allocateBatch(64)
    #expect(Set(offsets(again)).count == 64)
  }

  @Test("a ring that is full lets them go to its overflow")
  func fullRing() throws {
    let pool = try PagePool(
      provider: ListProvider(iovCount: 200), configuration: .init(ringCapacity: 1))
    for _ in 0..<100 { end(pool.allocateBatch(1)) }
    var batches: [Box] = []
    for _ in 0..<100 {
      let box = Box()
      box.batch = pool.allocateBatch(2)
      batches.append(box)
    }
    let all = batches
    let worker = Worker()
    worker.run { for box in all { box.batch = nil } }
    worker.stop()
    #expect(pool.inFlight.held == 0)
    let everything = pool.allocateBatch(200)
    #expect(Set(offsets(everything)).count == 200)
  }

  @Test("closing gives their buffers back")
  func close() throws {
    let provider = try ListProvider(iovCount: 64)
    let drained = DrainFlag()
    let pool = try PagePool(provider: provider)
    end(pool.allocateBatch(30))
    end(pool.allocateBatch(20))
    pool.close { drained.set() }
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }

  @Test("a batch that was emptied may outlive its pool")
  func emptied() throws {
    let drained = DrainFlag()
    var batch: NetmemBatch
    do {
      let pool = try PagePool(provider: ListProvider(iovCount: 64))
      batch = pool.allocateBatch(2)
      _ = batch.popLast()
      _ = batch.popLast()
      pool.close { drained.set() }
    }
    #expect(drained.isSet)
    // It can be used on, with buffers of another pool.
    let other = try PagePool(provider: ListProvider(iovCount: 64))
    batch.append(try other.take())
    let count = batch.count
    #expect(count == 1)
    batch.removeAll()
    let isEmpty = batch.isEmpty
    #expect(isEmpty)
    #expect(other.inFlight.held == 0)
  }

  @Test("sharing is noticed before, while and after a batch has the buffer", arguments: 0..<3)
  func sharing(time: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    var kept: Held?
    var batch = NetmemBatch()
    let netmem = try pool.take()
    if time == 0 { kept = Held(netmem.share()) }
    batch.append(netmem)
    if time == 1 { batch.forEach { kept = Held($0.share()) } }
    if time == 2 {
      let again = Held(batch.popLast()!)
      kept = again.with { Held($0.share()) }
      batch.append(try again.taken())
    }
    end(batch)
    #expect(pool.inFlight.held == 1)
    kept?.drop()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == 1)
  }

  @Test(
    "three threads return batches, single buffers and through returners: none is lost or doubled",
    arguments: [UInt64(1), 2, 3])
  func stress(seed: UInt64) throws {
    let iovCount = 512
    let pool = try PagePool(
      provider: ListProvider(iovCount: iovCount), configuration: .init(ringCapacity: 64))
    let isOut = (0..<iovCount).map { _ in Flag() }
    let workers = (0..<3).map { _ in Worker() }
    let returners = (0..<3).map { _ in ReturnerBox() }
    let pending = Counter()
    var generator = SeededGenerator(seed: seed)
    for turn in 0..<6000 {
      let count = Int.random(in: 1...48, using: &generator)
      let batch = pool.allocateBatch(count)
      batch.forEach { netmem in
        let wasOut = isOut[Int(netmem.offset) / 4096].isSet.exchange(
          true, ordering: .acquiringAndReleasing)
        #expect(!wasOut)
      }
      let box = Box()
      box.batch = consume batch
      let kind = Int.random(in: 0..<4, using: &generator)
      let returner = returners[turn % 3]
      pending.value.add(1, ordering: .relaxed)
      workers[turn % 3].start {
        box.batch?.forEach { netmem in
          isOut[Int(netmem.offset) / 4096].isSet.store(false, ordering: .releasing)
        }
        switch kind {
        case 0: while let netmem = box.batch?.popLast() { _ = netmem }
        case 1: while let netmem = box.batch?.popLast() { returner.returner.put(netmem) }
        default: box.batch = nil
        }
        pending.value.subtract(1, ordering: .relaxed)
      }
      while pending.value.load(ordering: .relaxed) > 40 {}
    }
    for (worker, returner) in zip(workers, returners) {
      worker.run { returner.returner.flush() }
      worker.stop()
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
    let all = pool.allocateBatch(iovCount)
    #expect(Set(offsets(all)).count == iovCount)
  }

  private final class Flag: Sendable { let isSet = Atomic<Bool>(false) }
  private final class Counter: Sendable { let value = Atomic<Int>(0) }
  private final class ReturnerBox: @unchecked Sendable { var returner = NetmemReturner() }
}
