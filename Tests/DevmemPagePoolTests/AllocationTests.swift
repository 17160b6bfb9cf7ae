// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Allocating and returning on the owner's thread")
struct AllocationTests {
  @Test("the first allocation takes 64 from the provider, the next 63 come from the cache")
  func refill() throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    for _ in 0..<64 { held.append(Held(try pool.take())) }
    #expect(provider.refillSizes == [64])
    #expect(pool.statistics.alloc.slow == 1)
    #expect(pool.statistics.alloc.fast == 63)
    #expect(pool.inFlight == PagePool.InFlight(held: 64, cached: 0, queued: 0))
    held.removeAll()
    #expect(pool.inFlight == PagePool.InFlight(held: 0, cached: 64, queued: 0))
    #expect(pool.statistics.recycle.cached == 64)
    #expect(provider.refillSizes == [64])
  }

  @Test("the last buffer returned is the next one allocated")
  func lifo() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let first = try pool.take()
    let offset = first.offset
    _ = consume first
    let again = try pool.take()
    #expect(again.offset == offset)
  }

  @Test("larger IOVs count as slow_high_order")
  func highOrder() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 4, iovByteCount: 8192))
    let netmem = try pool.take()
    #expect(netmem.byteCount == 8192)
    #expect(pool.statistics.alloc.slowHighOrder == 1)
    #expect(pool.statistics.alloc.slow == 0)
  }

  @Test("an exhausted pool returns nil, says so, and goes on when a buffer comes back")
  func exhaustion() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 3))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    #expect(held.count == 3)
    #expect(pool.statistics.exhausted == 1)
    #expect(!pool.canAllocate())
    #expect(pool.statistics.exhausted == 2)
    held.removeLast()
    let netmem = try pool.take()
    #expect(netmem.referenceCount == 1)
  }

  @Test("returns go cache, then list, then half a cache back to the provider, and each is counted")
  func overflow() throws {
    let provider = try ListProvider(iovCount: 1024)
    let pool = try PagePool(
      provider: provider,
      configuration: .init(cacheCapacity: 16, refillCount: 8, ringCapacity: 4))
    var held: [Held] = []
    for _ in 0..<40 { held.append(Held(try pool.take())) }
    for _ in 0..<16 { held.removeLast() }
    #expect(pool.inFlight == PagePool.InFlight(held: 24, cached: 16, queued: 0))
    for _ in 0..<4 { held.removeLast() }
    #expect(pool.inFlight == PagePool.InFlight(held: 20, cached: 16, queued: 4))
    #expect(pool.statistics.recycle.cacheFull == 4)
    #expect(pool.statistics.recycle.ringFull == 0)
    held.removeLast()
    #expect(pool.inFlight == PagePool.InFlight(held: 19, cached: 9, queued: 4))
    #expect(pool.statistics.recycle.cacheFull == 5)
    #expect(pool.statistics.recycle.ringFull == 8)
    #expect(provider.outCount == 32)
    held.removeAll()
    #expect(pool.statistics.returnCount == 40)
    #expect(pool.inFlight.total == provider.outCount)
  }

  @Test("a shared buffer comes back with its last handle")
  func share() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let first = try pool.take()
    let second = first.share()
    #expect(second.offset == first.offset)
    #expect(first.referenceCount == 2)
    _ = consume first
    #expect(pool.inFlight.held == 1)
    #expect(second.referenceCount == 1)
    _ = consume second
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == 1)
  }

  @Test("address arithmetic: index, offset and device address agree")
  func arithmetic() throws {
    let provider = try ListProvider(iovCount: 32, iovByteCount: 2048, kind: .device)
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    for box in held {
      box.with { netmem in
        let area = provider.slab.area(of: netmem.iov)
        #expect(netmem.offset == UInt64(provider.slab.indexInArea(of: netmem.iov) * 2048))
        #expect(netmem.offset == provider.slab.offset(of: netmem.iov))
        #expect(netmem.deviceAddress.rawValue == area.baseAddress.rawValue + netmem.offset)
        #expect(netmem.deviceAddress.kind == .physical)
        #expect(netmem.kind == .device)
      }
    }
    #expect(Set(held.map { $0.with { $0.offset } }).count == 32)
  }

  @Test("device and host buffers of one type stand side by side")
  func twoKinds() throws {
    let device = try PagePool(
      provider: ListProvider(iovCount: 4, kind: .device, hasCPUMapping: false))
    let host = try PagePool(provider: ListProvider(iovCount: 4, kind: .host))
    let mixed = [Held(try device.take()), Held(try host.take())]
    #expect(mixed.map { $0.with { $0.kind } } == [.device, .host])
    #expect(mixed.map { $0.with { $0.isReadable } } == [false, true])
  }

  @Test("a change of node gives buffers of other nodes back and counts them as waive")
  func node() throws {
    let provider = try ListProvider(iovCount: 256, node: 0)
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    for _ in 0..<32 { held.append(Held(try pool.take())) }
    #expect(pool.inFlight.cached == 32)
    pool.node = 1
    #expect(pool.node == 1)
    #expect(pool.inFlight.cached == 0)
    let worker = Worker()
    let boxes = held
    held = []
    worker.run { for box in boxes { box.drop() } }
    worker.stop()
    #expect(pool.inFlight.queued == 32)
    // The queue's buffers lie on node 0: all are waived, and the provider serves instead.
    let netmem = try pool.take()
    #expect(netmem.referenceCount == 1)
    #expect(pool.statistics.alloc.waive == 32)
    #expect(pool.inFlight.queued == 0)
  }
}
