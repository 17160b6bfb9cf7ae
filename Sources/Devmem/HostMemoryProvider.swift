// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
public import DevmemPagePool
public import DevmemSystem

/// Hands ordinary pages of this process to page pools, under the same handle as device memory.
///
/// One anonymous mapping of a fixed size. Pages of 4 KiB get their memory at the first touch, huge
/// pages come out of the system's reserve when the provider is made. Several pools may share one:
/// lock-free, any thread.
public final class HostMemoryProvider: MemoryProvider {
  private final class Pages: Sendable {
    let mapping: MemoryMapping
    init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
  }

  private let allocator: IOVAllocator
  private let place: IOVAllocator.Place
  /// The NUMA node the pages are bound to, nil = wherever the first touch comes from.
  package let node: Int?
  /// Size of the mapping in bytes.
  public let byteCount: Int
  /// Size of the mapping's pages.
  package let pageSize: PageSize

  /// Maps the memory.
  /// - Parameters:
  ///   - byteCount: size of the mapping: a multiple of the page size and of `iovByteCount`. 64 MiB
  ///     when not given.
  ///   - iovByteCount: size of each buffer, a power of two, 256 B ... 1 GiB.
  ///   - node: the NUMA node to bind the pages to.
  ///   - pageSize: 4 KiB, 2 MiB or 1 GiB pages.
  /// - Throws: ``DevmemError``; nothing is mapped then.
  public init(
    byteCount: Int = 64 << 20, iovByteCount: Int = 4096, node: Int? = nil,
    pageSize: PageSize = .base4K
  ) throws(DevmemError) {
    let operation = "map \(byteCount) bytes of host memory"
    guard (256...1 << 30).contains(iovByteCount), iovByteCount & (iovByteCount - 1) == 0 else {
      throw DevmemError(
        .invalidIOVByteCount, operation, remedy: "Use a power of two from 256 to 1073741824.")
    }
    try DMABuf.check(node: node)
    guard byteCount > 0, byteCount % pageSize.byteCount == 0, byteCount % iovByteCount == 0 else {
      throw DevmemError(
        .invalidByteCount, operation,
        remedy: "Use a multiple of the page size (\(pageSize.byteCount)) and of the IOV size"
          + " (\(iovByteCount)).")
    }
    try DMABuf.checkRecords(iovCount: byteCount / iovByteCount, operation)
    let pages: Pages
    do throws(Errno) {
      let mapping = try MemoryMapping.anonymous(byteCount: byteCount, pageSize: pageSize)
      if let node { try mapping.bind(to: NUMANode(node)) }
      if pageSize != .base4K { try mapping.populate(node: node.map { NUMANode($0) }) }
      pages = Pages(mapping)
    } catch {
      throw .memory(operation, byteCount: byteCount, pageSize: pageSize, node: node, error)
    }
    let base = unsafe pages.mapping.baseAddress
    do {
      let slab = try unsafe NetIOVSlab(
        iovByteCount: iovByteCount,
        layout: [
          NetIOVArea.Layout(
            baseVirtual: 0,
            baseAddress: DeviceAddress(UInt64(UInt(bitPattern: base)), kind: .virtual),
            iovCount: byteCount / iovByteCount, kind: .host, node: node, cpuBase: base)
        ], backing: pages)
      let pool = try GenPool(granuleByteCount: iovByteCount)
      let chunk = try pool.addChunk(base: 0, byteCount: byteCount)
      allocator = IOVAllocator(pool: pool, chunks: [chunk], slab: slab)
      place = IOVAllocator.Place(in: allocator)
    } catch {
      throw DevmemError(.cannotCarve, operation, cause: "\(error)")
    }
    self.node = node
    self.byteCount = byteCount
    self.pageSize = pageSize
  }

  /// `host`
  public var name: String { "host" }
  /// Bytes that no pool has.
  public var availableByteCount: Int { allocator.pool.availableByteCount }

  /// The one slab. Never fails.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [allocator.slab] }

  /// Appends free pages.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    allocator.refill(&span, from: place)
  }

  /// Takes pages back. Their bytes stay as they are.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { allocator.release(iovs) }

  /// Nothing is kept per pool.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
}
