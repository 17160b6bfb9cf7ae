// SPDX-License-Identifier: Apache-2.0

package import DevmemGenpool
public import DevmemPagePool
internal import DevmemSystem

/// A dma-buf carved into IOVs of one size: what `net_devmem_bind_dmabuf` does to a buffer for the
/// kernel's own pools (net/core/devmem.c).
///
/// One ``DMABufChunkOwner`` per physically contiguous run, one record per IOV, and an allocator
/// whose chunks are the runs. The carving lives until the last pool over it has got its last buffer
/// back. A buffer can be carved once: two carvings of one memory would hand out the same bytes
/// twice (the kernel allows it). All members may be called from any thread.
public final class DMABufCarving: Sendable {
  /// The buffer.
  public let buffer: DMABuf
  /// Size of each IOV in bytes.
  public let iovByteCount: Int
  /// The runs of the buffer that hold IOVs, in the order of their offsets.
  public let chunkOwners: [DMABufChunkOwner]
  /// Bytes of the buffer that no IOV covers, because a run is shorter than an IOV or its ends do
  /// not lie on multiples of the IOV size.
  public let unusableByteCount: Int
  let allocator: IOVAllocator
  private let starts: IOVStarts
  private let addressing: Addressing
  private let claim: MemoryClaim

  /// What the device addresses of a carving's IOVs are.
  public enum Addressing: Hashable, Sendable {
    /// Physical addresses where they are known (``DMABuf/extents``): an IOV is then physically
    /// contiguous and aligned, as a device without an IOMMU needs it. Elsewhere offsets.
    case automatic
    /// Offsets in the dma-buf, for whatever maps the buffer itself: devmem TCP, RDMA, GPUs, an
    /// IOMMU. IOVs lie one behind the other, however the pages beneath are scattered.
    case bufferOffset
  }

  /// Carves a buffer (`net_devmem_bind_dmabuf`).
  ///
  /// Costs about 34 bytes for each IOV of 4 KiB (`make bench ARGS=--footprint`).
  /// - Parameters:
  ///   - buffer: the buffer, which the carving keeps alive.
  ///   - iovByteCount: a power of two from 4 KiB to 2 MiB.
  ///   - addressing: what device addresses are to be; decides where IOVs can lie.
  /// - Throws: ``DevmemError``: `.alreadyBound` when the dma-buf or the memory beneath it is carved
  ///   or bound already, `.invalidIOVByteCount` for an IOV size that cannot be, `.cannotCarve` when
  ///   no run is long enough for one IOV, `.outOfMemory` for more IOVs than there is memory for.
  ///   The buffer is as it was then.
  public convenience init(
    _ buffer: DMABuf, iovByteCount: Int = 4096, addressing: Addressing = .automatic
  ) throws(DevmemError) {
    try self.init(buffer, iovByteCount, addressing, beside: nil)
  }

  /// Carves the buffer of another carving once more, with records of its own.
  ///
  /// The claims on the memory end independently. Only for who sees to it that no byte is handed out
  /// by both at the same time.
  package convenience init(beside other: DMABufCarving) throws(DevmemError) {
    try self.init(other.buffer, other.iovByteCount, other.addressing, beside: other)
  }

  private init(
    _ buffer: DMABuf, _ iovByteCount: Int, _ addressing: Addressing, beside other: DMABufCarving?
  ) throws(DevmemError) {
    let operation = "bind a dma-buf of \(buffer.byteCount) bytes in IOVs of \(iovByteCount)"
    guard (4096...2 << 20).contains(iovByteCount), iovByteCount & (iovByteCount - 1) == 0 else {
      throw DevmemError(
        .invalidIOVByteCount, operation, remedy: "Use a power of two from 4096 to 2097152.")
    }
    if let other {
      claim = try MemoryRegistry.claim(for: buffer, beside: other.claim)
    } else {
      claim = try MemoryRegistry.claim(for: buffer)
    }
    self.addressing = addressing
    let extents =
      switch addressing {
      case .automatic: try buffer.extents
      case .bufferOffset: [DMABufExtent(offset: 0, byteCount: buffer.byteCount, address: nil)]
      }
    let nodes = NUMANode.available()
    let carving = Carving(extents: extents, iovByteCount: iovByteCount) { offset in
      nodes.count == 1 ? nodes[0].rawValue : buffer.node(atOffset: offset)
    }
    guard carving.iovCount > 0 else {
      throw DevmemError(
        .cannotCarve, operation,
        remedy: "No physically contiguous run of the buffer holds one IOV: use smaller IOVs, huge"
          + " pages, or addressing: .bufferOffset for devices that take offsets.")
    }
    try DMABuf.checkRecords(iovCount: carving.iovCount, operation)
    do {
      let slab = try NetIOVSlab(
        iovByteCount: iovByteCount,
        layout: carving.owners.map { buffer.area(of: $0, iovCount: $0.iovCount) }, backing: buffer)
      let pool = try GenPool(granuleByteCount: iovByteCount)
      var chunks: [GenPool.Chunk] = []
      chunks.reserveCapacity(carving.owners.count)
      for owner in carving.owners {
        chunks.append(
          try pool.addChunk(
            base: owner.baseAddress.rawValue, byteCount: owner.iovCount * iovByteCount,
            node: owner.node, owner: owner))
      }
      allocator = IOVAllocator(pool: pool, chunks: chunks, slab: slab)
    } catch {
      throw DevmemError(.cannotCarve, operation, cause: "\(error)")
    }
    self.buffer = buffer
    self.iovByteCount = iovByteCount
    chunkOwners = carving.owners
    unusableByteCount = carving.unusableByteCount
    starts = IOVStarts(owners: carving.owners, iovByteCount: iovByteCount)
  }

  package var slab: NetIOVSlab { allocator.slab }

  /// Number of IOVs.
  public var iovCount: Int { slab.iovCount }

  /// The allocator. Not public: who frees in it what a pool holds hands the same bytes out twice.
  package var genpool: GenPool { allocator.pool }

  /// Bytes of IOVs that no provider has taken. Counted when asked for; exact while nobody allocates
  /// or frees.
  public var availableByteCount: Int { genpool.availableByteCount }

  /// The longest free run in bytes; exact as ``availableByteCount`` is.
  package var largestFreeRun: Int { genpool.largestFreeRun }

  /// How torn the free space is; exact as ``availableByteCount`` is.
  package var fragmentation: GenPool.Fragmentation { genpool.fragmentation }

  // MARK: Index, offset, address

  /// Offset of an IOV from the start of the buffer, in bytes. O(1).
  /// - Precondition: `0 <= index < iovCount`.
  public func offset(ofIOV index: Int) -> UInt64 { slab.offset(of: slab[index]) }

  /// Device address of an IOV. O(1).
  /// - Precondition: `0 <= index < iovCount`.
  public func deviceAddress(ofIOV index: Int) -> DeviceAddress {
    let iov = slab[index]
    let area = slab.area(of: iov)
    return area.baseAddress.advanced(by: slab.indexInArea(of: iov) << Int(area.iovShift))
  }

  /// The chunk owner of an IOV. O(1).
  /// - Precondition: `0 <= index < iovCount`.
  package func chunkOwner(ofIOV index: Int) -> DMABufChunkOwner {
    chunkOwners[Int(slab.area(of: slab[index]).context)]
  }

  /// The IOV that covers an offset of the buffer, or nil if none does. O(1).
  public func iovIndex(atOffset offset: UInt64) -> Int? {
    starts.candidates(for: offset).first { index in
      let start = self.offset(ofIOV: index)
      return offset >= start && offset - start < UInt64(iovByteCount)
    }
  }

  /// The IOV that covers a device address, or nil if none does. A search over the chunk owners by
  /// address: O(1) for a contiguous buffer, O(log owners) otherwise.
  public func iovIndex(at address: DeviceAddress) -> Int? {
    guard chunkOwners.first?.baseAddress.kind == address.kind,
      let chunk = genpool.chunk(at: address.rawValue)
    else { return nil }
    return chunkOwners[chunk.slot].firstIOV
      + Int((address.rawValue - chunk.base) >> UInt64(iovByteCount.trailingZeroBitCount))
  }
}

extension DMABuf {
  /// Where the page at an offset lies now, else where the buffer was asked to be.
  fileprivate func node(atOffset offset: UInt64) -> Int? {
    guard let cpuMapping else { return requestedNode }
    let address = unsafe UnsafeRawPointer(cpuMapping.baseAddress + Int(offset))
    return (try? unsafe NUMANode.node(of: address))?.rawValue ?? requestedNode
  }

  /// A run's IOVs as a pool sees them.
  /// - Parameter skipping: bytes at the run's start that the first IOV leaves out.
  func area(of owner: DMABufChunkOwner, iovCount: Int, skipping: Int = 0) -> NetIOVArea.Layout {
    let start = owner.baseVirtual + UInt64(skipping)
    return unsafe NetIOVArea.Layout(
      baseVirtual: start, baseAddress: owner.baseAddress.advanced(by: skipping),
      iovCount: iovCount, kind: .device, node: owner.node, context: UInt64(owner.index),
      cpuBase: cpuMapping.map { unsafe $0.baseAddress + Int(start) }, access: accessRecord.state)
  }
}
