// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

@testable import DevmemPagePool

@Suite("Closing a pool")
struct CloseTests {
  @Test("close gives everything back and detaches the provider")
  func empty() async throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(provider: provider)
    _ = pool.allocate()
    #expect(provider.outCount == 64)
    try await pool.close()
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 0, queued: 0))
    try await pool.close()
  }

  @Test("close resumes when the last buffer dies, on whatever thread, and not before")
  func lastReturn() throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    for _ in 0..<5 { held.append(Held(try pool.take())) }
    let worker = Worker()
    let first = held[0]
    worker.run { first.drop() }
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(pool.inFlight == PagePool.InFlight(held: 4, cached: 0, queued: 0))
    #expect(provider.outCount == 4)
    held[1].drop()
    let foreign = Array(held[2...3])
    worker.run { for box in foreign { box.drop() } }
    #expect(!drained.isSet)
    #expect(provider.attachedCount == 1)
    let last = held[4]
    worker.run { last.drop() }
    worker.stop()
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
    #expect(pool.statistics.recycle.releasedRefcnt == 4)
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
  }

  @Test("several tasks can wait for the same close")
  func severalWaiters() async throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try PagePool(provider: provider)
    let held = Held(try pool.take())
    let remote = pool.remote
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 { group.addTask { try await remote.close() } }
      while PagePoolRegistry.shared.pools.first(where: { $0.identity == pool.identity })?
        .timeSinceClose == nil
      { await Task.yield() }
      held.drop()
      try await group.waitForAll()
    }
    #expect(provider.outCount == 0)
  }

  @Test(
    "a closed pool allocates nothing, counts it, and cannot be claimed from a thread that has ended"
  )
  func afterClose() async throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    try await pool.close()
    #expect(!pool.canAllocate())
    #expect(pool.statistics.closed == 1)
    #expect(throws: PagePoolError.closed) { try pool.remote.claimFromEndedThread() }
  }

  @Test("another thread can close a pool while its owner is idle, and gets what lies in its cache")
  func foreignClose() throws {
    let provider = try ListProvider(iovCount: 64)
    let pool = try PagePool(provider: provider)
    #expect(pool.canAllocate())
    #expect(provider.outCount == 64)
    let remote = pool.remote
    let drained = DrainFlag()
    let worker = Worker()
    worker.run { remote.close { drained.set() } }
    worker.stop()
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
    #expect(!pool.canAllocate())
  }

  @Test("a pool that is dropped with buffers out ends with the last of them")
  func dropped() throws {
    let provider = try ListProvider(iovCount: 64)
    var pool: PagePool? = try PagePool(provider: provider)
    let identity = try #require(pool?.identity)
    let held = Held(try pool!.take())
    pool = nil
    #expect(provider.outCount == 1)
    #expect(PagePoolRegistry.shared.pools.contains { $0.identity == identity })
    held.with { #expect($0.byteCount == 4096) }
    held.drop()
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
    #expect(!PagePoolRegistry.shared.pools.contains { $0.identity == identity })
  }

  @Test("a pool whose last reference dies on another thread ends with its last buffer")
  func droppedElsewhere() throws {
    final class Box: @unchecked Sendable {
      var pool: PagePool?
    }
    let provider = try ListProvider(iovCount: 64)
    let box = Box()
    box.pool = try PagePool(provider: provider)
    let held = Held(try box.pool!.take())
    let worker = Worker()
    worker.run { box.pool = nil }
    worker.stop()
    #expect(provider.attachedCount == 1)
    held.drop()
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
  }

  @Test("the provider and its memory go away with the pool")
  func lifetime() throws {
    weak var slab: NetIOVSlab?
    do {
      let provider = try ListProvider(iovCount: 64)
      slab = provider.slab
      let pool = try PagePool(provider: provider)
      _ = pool.allocate()
    }
    // Another test that lists the pools right now holds them for that long.
    for _ in 0..<1000 where slab != nil { Thread.sleep(forTimeInterval: 0.001) }
    #expect(slab == nil)
  }
}
