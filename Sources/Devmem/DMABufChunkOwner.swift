// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// A physically contiguous run of a carved dma-buf (`struct dmabuf_genpool_chunk_owner`,
/// net/core/devmem.h): the allocator of a ``DMABufCarving`` has one chunk for each run, and this is
/// the chunk's owner.
///
/// Immutable; any thread.
public final class DMABufChunkOwner: Sendable {
  /// Position among the carving's owners, in the order of their offsets.
  package let index: Int
  /// Offset of the first IOV from the start of the dma-buf, in bytes (`base_virtual`).
  public let baseVirtual: UInt64
  /// Device address of the first IOV (`base_dma_addr`).
  public let baseAddress: DeviceAddress
  /// The NUMA node of the run's first page, nil when not known.
  public let node: Int?
  /// Position of the first IOV among all of the carving's.
  package let firstIOV: Int
  /// Number of IOVs (`num_niovs`).
  public let iovCount: Int
  /// Bytes of the run before its first and after its last IOV: a rest smaller than an IOV, or one
  /// that does not begin at a multiple of the IOV size.
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
