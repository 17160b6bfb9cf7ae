// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

/// What pools count of handles that wait for a device. That they wait is tested on real fences, in
/// the device tier.
@Suite("Batches that are put after a fence")
struct FenceCountTests {
  @Test("a waiting batch is held, and counted; after that it is in its pool")
  func counts() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    do {
      let batch = pool.allocateBatch(10)
      batch.beginFence()
      #expect(pool.inFlight.fenced == 10 && pool.inFlight.held == 10)
      #expect(pool.statistics.fenced == 0)
      #expect(PagePoolRegistry.report(pool.core).contains("10 handles wait for fences of devices"))
      batch.endFence(hasFailed: false)
    }
    #expect(pool.inFlight.fenced == 0 && pool.inFlight.held == 0)
    #expect(pool.statistics.fenced == 10 && pool.statistics.fenceFailures == 0)
    #expect(!PagePoolRegistry.report(pool.core).contains("fence"))
  }

  @Test("buffers of several pools, and of a shared one, are counted by each; errors as well")
  func severalPools() throws {
    let first = try PagePool(provider: ListProvider(iovCount: 64))
    let second = try SharedPagePool(provider: ListProvider(iovCount: 64))
    do {
      var batch = first.allocateBatch(3)
      batch.append(try second.take())
      batch.append(try second.take())
      batch.beginFence()
      #expect(first.inFlight.fenced == 3 && second.inFlight.fenced == 2)
      batch.endFence(hasFailed: true)
    }
    #expect(first.inFlight.fenced == 0 && second.inFlight.fenced == 0)
    #expect(first.statistics.fenceFailures == 3 && second.statistics.fenceFailures == 2)
    #expect(first.inFlight.held == 0 && second.inFlight.held == 0)
  }

  @Test("batches are put together, into an empty one and into one with buffers")
  func append() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    do {
      var all = NetmemBatch(capacity: 1)
      all.append(contentsOf: pool.allocateBatch(5))
      all.append(contentsOf: pool.allocateBatch(7))
      all.append(contentsOf: NetmemBatch(capacity: 1))
      var offsets: Set<UInt64> = []
      all.forEach { offsets.insert($0.offset) }
      #expect(offsets.count == 12 && all.count == 12)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("a fragment's handle outlives the fragment")
  func fragment() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    do {
      guard let fragment = pool.allocateFragment(byteCount: 100) else { throw NoBuffer() }
      let netmem = fragment.takeNetmem()
      #expect(pool.inFlight.held == 1)
      #expect(netmem.byteCount == pool.iovByteCount)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("a pool that no fence was given counts nothing")
  func none() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    for _ in 0..<100 { _ = pool.allocate() }
    #expect(pool.inFlight.fenced == 0 && pool.statistics.fenced == 0)
  }
}
