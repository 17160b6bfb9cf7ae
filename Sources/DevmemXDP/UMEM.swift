// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

/// Memory that packets of AF_XDP sockets lie in (`struct xdp_umem`): the CPU mapping of a dma-buf,
/// or a part of it, which the kernel pins as long as a socket on it lives.
///
/// Cut into chunks, each of which has at most one packet. A buffer of a page pool over the same
/// dma-buf is lent to a socket as the chunk that it begins at.
///
/// Several sockets, on one queue each, may have it, each on a thread of its own, and a buffer that
/// came by one may go out by another. Each of them registers it by itself, and counts it against
/// the limit of locked memory: of sockets that share a registration the kernel lets the first go
/// only with the others.
package struct UMEM: Sendable {
  /// Bytes of a chunk: 2048, or more, up to the base page; a power of two.
  package let chunkByteCount: Int
  /// Where the memory begins in the dma-buf, bytes.
  package let offset: Int
  /// How much it is, bytes.
  package let byteCount: Int
  private let mapping: DMABuf.CPUMapping
  let chunkShift: Int

  /// Memory of a buffer.
  /// - Parameters:
  ///   - buffer: of which the CPU mapping is a writable one of its memory file.
  ///   - range: which bytes of it, at multiples of the base page; nil = all.
  ///   - chunkByteCount: how it is cut.
  /// - Throws: ``XDPError``: `.notPinnable`, `.invalidConfiguration`.
  package init(
    _ buffer: DMABuf, range: Range<Int>? = nil, chunkByteCount: Int = 4096
  ) throws(XDPError) {
    let page = SystemProcess.pageByteCount
    guard let mapping = buffer.cpuMapping, mapping.isWritable, mapping.source == .memoryFile else {
      throw .notPinnable
    }
    let range = range ?? 0..<buffer.byteCount
    guard
      range.lowerBound >= 0, range.upperBound <= buffer.byteCount, !range.isEmpty,
      range.lowerBound % page == 0, range.count % page == 0
    else {
      throw XDPError(
        .invalidConfiguration, "bytes \(range) of a buffer of \(buffer.byteCount)",
        remedy: "Use a part of the buffer at multiples of \(page) bytes.")
    }
    try XDPError.checkPowerOfTwo("chunkByteCount", chunkByteCount, in: 2048...page)
    self.mapping = mapping
    self.chunkByteCount = chunkByteCount
    offset = range.lowerBound
    byteCount = range.count
    chunkShift = chunkByteCount.trailingZeroBitCount
  }

  var chunkCount: Int { byteCount >> chunkShift }

  /// Valid as long as this lives.
  @unsafe
  var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(rebasing: mapping.bytes[offset..<offset + byteCount])
  }
}
