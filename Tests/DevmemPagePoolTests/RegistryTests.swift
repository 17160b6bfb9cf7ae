// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("The registry, like netdev's page-pool-get")
struct RegistryTests {
  private func entry(_ identity: PagePool.Identity) -> PagePoolRegistry.Entry? {
    PagePoolRegistry.shared.pools.first { $0.identity == identity }
  }

  @Test(
    "a pool is listed with its numbers from birth until its last buffer is back, then gone at once")
  func life() throws {
    let provider = try ListProvider(iovCount: 64, iovByteCount: 2048)
    let pool = try PagePool(provider: provider, configuration: .init(name: "rx0"))
    let fresh = try #require(entry(pool.identity))
    #expect(fresh.identity.name == "rx0")
    #expect(fresh.provider == "list")
    #expect(fresh.inFlight.total == 0)
    #expect(fresh.timeSinceClose == nil)
    let held = Held(try pool.take())
    #expect(entry(pool.identity)?.inFlightByteCount == 64 * 2048)
    pool.close {}
    let closing = try #require(entry(pool.identity))
    #expect(closing.inFlight == PagePool.InFlight(held: 1, cached: 0, queued: 0))
    #expect(closing.timeSinceClose != nil)
    held.drop()
    #expect(entry(pool.identity) == nil)
  }

  @Test("numbers are never given out twice")
  func identities() throws {
    let provider = try ListProvider(iovCount: 64)
    let a = try PagePool(provider: provider)
    let b = try PagePool(provider: provider)
    #expect(a.identity.id < b.identity.id)
    #expect(a.identity.id > 0)
  }
}
