// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Batches")
struct BatchTests {
  @Test(
    "a batch has as many buffers as there are, and gives all back",
    arguments: [1, 63, 64, 65, 100, 300])
  func allocate(count: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 100))
    do {
      let batch = pool.allocateBatch(count)
      #expect(batch.count == min(count, 100))
      #expect(pool.inFlight.held == batch.count)
      var offsets: Set<UInt64> = []
      batch.forEach { offsets.insert($0.offset) }
      #expect(offsets.count == batch.count)
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
    #expect(pool.statistics.exhausted == (count > 100 ? 1 : 0))
  }

  @Test("buffers taken out of a batch are the taker's")
  func take() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    var held: Held?
    do {
      var batch = pool.allocateBatch(3)
      held = Held(batch.popLast()!)
      #expect(batch.count == 2)
    }
    #expect(pool.inFlight.held == 1)
    held?.drop()
    #expect(pool.inFlight.held == 0)
    var empty = NetmemBatch(capacity: 0)
    #expect(empty.popLast() == nil ? true : false)
  }

  @Test("a batch is split in two, each with its own buffers", arguments: [0, 1, 7, 10])
  func split(position: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    do {
      var batch = pool.allocateBatch(10)
      var offsets: [UInt64] = []
      batch.forEach { offsets.append($0.offset) }
      let rest = batch.split(at: position)
      var front: [UInt64] = []
      batch.forEach { front.append($0.offset) }
      var back: [UInt64] = []
      rest.forEach { back.append($0.offset) }
      #expect(front == Array(offsets[..<position]))
      #expect(back == Array(offsets[position...]))
      #expect(pool.inFlight.held == 10)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("on another thread a batch goes back as one")
  func foreign() throws {
    final class Box: @unchecked Sendable {
      var batch: NetmemBatch?
    }
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let box = Box()
    box.batch = pool.allocateBatch(50)
    let worker = Worker()
    worker.run { box.batch = nil }
    worker.stop()
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 14, queued: 50))
    var again: Set<UInt64> = []
    let batch = pool.allocateBatch(64)
    batch.forEach { again.insert($0.offset) }
    #expect(again.count == 64)
  }

  @Test("a batch of several pools' buffers goes back pool by pool", arguments: [false, true])
  func mixed(onOwner: Bool) throws {
    final class Box: @unchecked Sendable {
      var batch: NetmemBatch?
    }
    let pools = try (0..<3).map { _ in try PagePool(provider: ListProvider(iovCount: 64)) }
    let box = Box()
    var batch = NetmemBatch(capacity: 2)
    for turn in 0..<60 { batch.append(try pools[turn % 3].take()) }
    #expect(batch.count == 60)
    box.batch = consume batch
    if onOwner {
      box.batch = nil
    } else {
      let worker = Worker()
      worker.run { box.batch = nil }
      worker.stop()
    }
    for pool in pools {
      #expect(pool.inFlight.held == 0)
      #expect(pool.inFlight.queued == (onOwner ? 0 : 20))
      #expect(pool.statistics.returnCount == 20)
    }
  }

  @Test(
    "a buffer that somebody else holds too stays out when its batch dies", arguments: [false, true])
  func shared(onOwner: Bool) throws {
    final class Box: @unchecked Sendable {
      var batch: NetmemBatch?
    }
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    var kept: [Held] = []
    let box = Box()
    let batch = pool.allocateBatch(20)
    var position = 0
    batch.forEach { netmem in
      if position % 3 == 0 { kept.append(Held(netmem.share())) }
      position += 1
    }
    box.batch = consume batch
    if onOwner {
      box.batch = nil
    } else {
      let worker = Worker()
      worker.run { box.batch = nil }
      worker.stop()
    }
    #expect(pool.inFlight.held == kept.count)
    kept.removeAll()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == 20)
  }

  @Test("a batch larger than the cache overflows like single returns do")
  func overflow() throws {
    let provider = try ListProvider(iovCount: 500)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 32, refillCount: 16, ringCapacity: 40)
    )
    do {
      let batch = pool.allocateBatch(400)
      #expect(batch.count == 400)
    }
    let inFlight = pool.inFlight
    #expect(inFlight.held == 0)
    #expect(inFlight.cached <= 32 && inFlight.queued == 40)
    #expect(inFlight.total == provider.outCount)
    #expect(pool.statistics.returnCount == 400)
  }

  @Test("a batch that outlives its pool ends the pool")
  func afterClose() throws {
    let provider = try ListProvider(iovCount: 64)
    let drained = DrainFlag()
    do {
      let pool = try PagePool(provider: provider)
      let batch = pool.allocateBatch(30)
      pool.close { drained.set() }
      #expect(!drained.isSet)
      #expect(batch.count == 30)
    }
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }
}
