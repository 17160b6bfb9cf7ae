// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemTestSupport
import Testing

@testable import Devmem

@Suite("Memory providers")
struct ProviderTests {
  @Test("the dma-buf provider passes the conformance checks", arguments: [1, 64, 65, 1000])
  func dmabuf(iovCount: Int) throws {
    let buffer = try DMABuf.memoryFile(byteCount: iovCount * 4096)
    try checkMemoryProvider(DMABufMemoryProvider(DMABufCarving(buffer)))
  }

  @Test("the host provider passes the conformance checks", arguments: [256, 4096, 65536])
  func host(iovByteCount: Int) throws {
    try checkMemoryProvider(HostMemoryProvider(byteCount: 4 << 20, iovByteCount: iovByteCount))
  }

  @Test(
    "providers of one carving take from places of their own", arguments: [false, true])
  func places(isScattered: Bool) throws {
    // Root sees the physical addresses of the memory file's pages, which makes many short chunks.
    let carving = try DMABufCarving(
      .memoryFile(byteCount: 64 << 20), addressing: isScattered ? .automatic : .bufferOffset)
    let pools = try (0..<8).map { _ in
      try PagePool(
        provider: DMABufMemoryProvider(carving),
        configuration: .init(cacheCapacity: 256, refillCount: 256))
    }
    let ranges = pools.map { pool in
      var range: Range<UInt64>?
      let batch = pool.allocateBatch(256)
      batch.forEach {
        let first = min(range?.lowerBound ?? .max, $0.offset)
        range = first..<max(range?.upperBound ?? 0, $0.offset + 4096)
      }
      return range
    }
    for (position, range) in ranges.enumerated() {
      // Within a quarter of the eighth that each of them has for itself: never in the same words.
      #expect(try #require(range).count <= 2 << 20)
      for other in ranges[..<position] {
        #expect(try !#require(range).overlaps(#require(other)))
      }
    }
  }

  @Test("the fallback provider passes the conformance checks")
  func fallback() throws {
    let device = DMABufMemoryProvider(try DMABufCarving(.memoryFile(byteCount: 100 * 4096)))
    let host = try HostMemoryProvider(byteCount: 77 * 4096)
    try checkMemoryProvider(FallbackProvider(device, then: host))
  }

  @Test("the fallback gives device memory first and counts what it took from the host")
  func fallbackOrder() throws {
    let device = DMABufMemoryProvider(try DMABufCarving(.memoryFile(byteCount: 10 * 4096)))
    let provider = FallbackProvider(device, then: try HostMemoryProvider(byteCount: 5 * 4096))
    let pool = try PagePool(provider: provider)
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    let kinds = held.map { $0.with { $0.kind } }
    #expect(kinds == Array(repeating: .device, count: 10) + Array(repeating: .host, count: 5))
    #expect(provider.fallbackCount == 5)
    #expect(provider.name == "dmabuf, else host")
    held.removeAll()
    pool.close {}
    #expect(device.carving.genpool.isEmpty)
  }

  @Test("host pages are readable without a bracket, in memory of their own")
  func hostBytes() throws {
    let pool = try PagePool(provider: HostMemoryProvider(byteCount: 1 << 20))
    var netmem = try pool.take()
    #expect(netmem.kind == .host)
    try netmem.withMutableBytes { $0.storeBytes(of: 0xFEED, as: UInt64.self) }
    try netmem.withBytes { #expect(unsafe $0.unsafeLoad(as: UInt64.self) == 0xFEED) }
    #expect(netmem.deviceAddress.kind == .virtual)
  }

  @Test(
    "host memory of an impossible size is refused",
    arguments: [
      (0, 4096), (4096, 8192), (5000, 4096), (-4096, 4096), (1 << 20, 3000), (1 << 20, 128),
    ])
  func badHost(byteCount: Int, iovByteCount: Int) {
    #expect(throws: DevmemError.self) {
      try HostMemoryProvider(byteCount: byteCount, iovByteCount: iovByteCount)
    }
  }

  @Test("host memory on a node that is not there is refused with the nodes that are")
  func badNode() throws {
    do {
      _ = try HostMemoryProvider(byteCount: 4096, node: 999)
      Issue.record("made on node 999")
    } catch {
      #expect(error.code == .noSuchNode)
      #expect(error.remedy?.isEmpty == false)
    }
  }

  @Test("a fallback whose second provider refuses leaves the first one detached")
  func halfAttached() throws {
    struct Refusal: Error {}
    final class Refusing: MemoryProvider {
      let name = "refusing"
      func attach(
        to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
      ) throws -> [NetIOVSlab] { throw Refusal() }
      func refill(
        _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
      ) {}
      func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess) {}
      func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
        Issue.record("detached, never attached")
      }
    }
    let list = try ListProvider(iovCount: 4)
    #expect(throws: Refusal.self) {
      try PagePool(provider: FallbackProvider(list, then: Refusing()))
    }
    #expect(list.attachedCount == 0)
  }
}
