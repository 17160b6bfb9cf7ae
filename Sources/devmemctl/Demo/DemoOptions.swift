// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

/// What the demo was asked to do, checked.
struct DemoOptions: Sendable {
  /// Who makes the dma-buf.
  enum Exporter: String, Sendable, CaseIterable {
    case udmabuf
    case heap
    case drm
    case memoryFile = "memory-file"
  }

  var source: DemoSource
  /// Bytes to transfer, > 0.
  var byteCount: Int
  var exporter = Exporter.udmabuf
  var pageSize = PageSize.base4K
  /// A power of two from 4 KiB to 2 MiB.
  var iovByteCount = 4096
  var node: Int?
  /// Bytes of the dma-buf at least.
  var minimumBufferByteCount = DemoSizes.bufferByteMinimum
  /// Whether a person may watch a bar.
  var showsProgress = true
  /// How long the importer may be silent.
  var importerSeconds = 120

  /// Payload of one packet.
  var payloadByteCount: Int { max(DemoSizes.payloadByteCount, iovByteCount) }

  /// Size of the dma-buf: that of the transfer in whole huge pages, within limits. Short transfers
  /// then need not wait for memory that they don't use.
  var bufferByteCount: Int {
    let pageByteCount = PageSize.huge2M.byteCount
    let wanted = (min(byteCount, DemoSizes.bufferByteLimit) + pageByteCount - 1) / pageByteCount
    return max(wanted * pageByteCount, minimumBufferByteCount)
  }

  /// The payload's buffer, really from that exporter: nothing falls back to another.
  func makeBuffer() throws(DevmemError) -> DMABuf {
    let byteCount = bufferByteCount
    let name = "devmemctl-demo"
    switch exporter {
    case .udmabuf:
      return try DMABuf.udmabuf(byteCount: byteCount, pageSize: pageSize, node: node, name: name)
    case .heap:
      return try DMABuf.dmaHeap(byteCount: byteCount)
    case .drm:
      return try DMABuf.drmDumb(byteCount: byteCount)
    case .memoryFile:
      return try DMABuf.memoryFile(
        byteCount: byteCount, pageSize: pageSize, node: node, name: name)
    }
  }
}
