// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Tuning the refill")
struct TunerTests {
  @Test("a burst that uses refills up makes them larger, an overflowing cache makes them smaller")
  func bursts() throws {
    let provider = try ListProvider(iovCount: 4000)
    let pool = try PagePool(
      provider: provider,
      configuration: .init(cacheCapacity: 256, refillCount: 16, ringCapacity: 0, tunesRefill: true))
    do {
      let batch = pool.allocateBatch(2000)
      #expect(batch.count == 2000)
    }
    let sizes = provider.refillSizes
    #expect(sizes.first == 16)
    #expect(sizes.max() == 256)
    #expect(pool.core.refillCount == 8)
    #expect(pool.inFlight.total == provider.outCount)
  }

  @Test("without the option the refill stays as it was asked for")
  func fixed() throws {
    let provider = try ListProvider(iovCount: 4000)
    let pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 256, refillCount: 16))
    do { _ = pool.allocateBatch(2000) }
    #expect(Set(provider.refillSizes) == [16])
  }

  @Test("what recycles through the cache leaves the refill alone")
  func steady() throws {
    let provider = try ListProvider(iovCount: 4000)
    let pool = try PagePool(
      provider: provider, configuration: .init(refillCount: 16, tunesRefill: true))
    for _ in 0..<1000 { #expect(pool.canAllocate()) }
    #expect(pool.core.refillCount == 16)
  }
}
