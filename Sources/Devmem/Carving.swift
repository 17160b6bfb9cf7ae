// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// How a buffer's contiguous runs are cut into IOVs.
///
/// The kernel refuses a dma-buf of which one run's address or length is not a multiple of the IOV
/// size (`net_devmem_bind_dmabuf`: EINVAL). Here every run is carved as far as it goes: from the
/// first address that is a multiple of the IOV size, as many IOVs as fit. What is left over is
/// counted.
struct Carving {
  /// The runs that hold at least one IOV.
  var owners: [DMABufChunkOwner] = []
  var iovCount = 0
  /// Bytes of the buffer that no IOV covers.
  var unusableByteCount = 0

  /// - Parameters:
  ///   - extents: runs in the order of their offsets, addresses where they are known.
  ///   - nodeAtOffset: the NUMA node of the page at an offset of the buffer.
  init(extents: [DMABufExtent], iovByteCount: Int, nodeAtOffset: (UInt64) -> Int? = { _ in nil }) {
    let size = UInt64(iovByteCount)
    for extent in extents {
      let address = extent.address ?? DeviceAddress(UInt64(extent.offset), kind: .bufferOffset)
      let head = (size - address.rawValue % size) % size
      let usable = UInt64(extent.byteCount) > head ? UInt64(extent.byteCount) - head : 0
      let count = Int(usable / size)
      let unusable = extent.byteCount - count * iovByteCount
      unusableByteCount += unusable
      guard count > 0 else { continue }
      let start = UInt64(extent.offset) + head
      owners.append(
        DMABufChunkOwner(
          index: owners.count, baseVirtual: start, baseAddress: address.advanced(by: Int(head)),
          node: nodeAtOffset(start), firstIOV: iovCount, iovCount: count,
          unusableByteCount: unusable))
      iovCount += count
    }
  }
}
