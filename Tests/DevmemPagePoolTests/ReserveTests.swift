// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("The reserve for critical allocations")
struct ReserveTests {
  @Test("only critical allocations take from the reserve, and only when all else is gone")
  func order() throws {
    let provider = try ListProvider(iovCount: 100)
    let pool = try PagePool(provider: provider, configuration: .init(reserveCount: 10))
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 0, queued: 0, reserved: 10))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    #expect(held.count == 90)
    #expect(pool.statistics.exhausted == 1)
    var critical: [Held] = []
    while let netmem = pool.allocate(.critical) { critical.append(Held(netmem)) }
    #expect(critical.count == 10)
    #expect(pool.statistics.reserveUsed == 10)
    #expect(pool.statistics.reserveExhausted == 1)
    #expect(pool.inFlight == PagePool.InFlight(held: 100, cached: 0, queued: 0, reserved: 0))
    #expect(pool.statistics.allocationCount == 100)
    held.removeAll()
    critical.removeAll()
    #expect(pool.statistics.returnCount == 100)
  }

  @Test(
    "a critical buffer goes back to the provider, on any thread, the reserve fills up first"
  )
  func refill() throws {
    let provider = try ListProvider(iovCount: 20)
    let pool = try PagePool(provider: provider, configuration: .init(reserveCount: 4))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    let critical = Held(pool.allocate(.critical)!)
    let worker = Worker()
    worker.run { critical.drop() }
    worker.stop()
    #expect(pool.inFlight == PagePool.InFlight(held: 16, cached: 0, queued: 0, reserved: 3))
    #expect(provider.outCount == 19)
    #expect(pool.statistics.recycle.releasedRefcnt == 1)
    // The one that came back is the reserve's again, not the first comer's.
    #expect(!pool.canAllocate())
    #expect(pool.inFlight.reserved == 4)
    held.removeAll()
  }

  @Test("a token of a critical buffer is reclaimed like any other")
  func token() throws {
    let pool = try PagePool(
      provider: ListProvider(iovCount: 1), configuration: .init(reserveCount: 1))
    let other = try PagePool(
      provider: ListProvider(iovCount: 1), configuration: .init(reserveCount: 1))
    let token = pool.allocate(.critical)!.detach()
    #expect(throws: NetmemTokenError.foreign) { _ = try other.reclaim(token) }
    _ = try pool.reclaim(token)
    #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(token) }
    #expect(pool.inFlight.held == 0)
  }

  @Test("closing gives the reserve back and waits for what is out of it")
  func close() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider, configuration: .init(reserveCount: 8))
    let held = Held(pool.allocate(.critical)!)
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(!drained.isSet)
    #expect(provider.outCount == 1)
    held.drop()
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }

  @Test("a reserve larger than the provider takes what there is")
  func tooLarge() throws {
    let provider = try ListProvider(iovCount: 3)
    let pool = try PagePool(provider: provider, configuration: .init(reserveCount: 10))
    #expect(pool.inFlight.reserved == 3)
    #expect(!pool.canAllocate())
  }
}
