// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// A physically contiguous run of a bound dma-buf, as the owner of the chunk that the allocator has
/// for it (`struct dmabuf_genpool_chunk_owner`, net/core/devmem.h).
///
/// Immutable. `GenPool.owner(of:)` leads from a chunk to it.
public final class DMABufChunkOwner: Sendable {
  /// Position among the binding's owners, in the order of their offsets.
  package let index: Int
  /// Offset of the first IOV from the start of the dma-buf, in bytes (`base_virtual`).
  public let baseVirtual: UInt64
  /// Device address of the first IOV (`base_dma_addr`).
  public let baseAddress: DeviceAddress
  /// The NUMA node of the run's first page, nil when not known.
  public let node: Int?
  /// Position of the first IOV among all of the binding's.
  package let firstIOV: Int
  /// Number of IOVs (`num_niovs`).
  public let iovCount: Int
  /// Bytes of the run before the first and after the last IOV, too few or too crooked for one.
  package let unusableByteCount: Int

  init(
    index: Int, baseVirtual: UInt64, baseAddress: DeviceAddress, node: Int?, firstIOV: Int,
    iovCount: Int, unusableByteCount: Int
  ) {
    self.index = index
    self.baseVirtual = baseVirtual
    self.baseAddress = baseAddress
    self.node = node
    self.firstIOV = firstIOV
    self.iovCount = iovCount
    self.unusableByteCount = unusableByteCount
  }
}
