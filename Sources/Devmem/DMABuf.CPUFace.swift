// SPDX-License-Identifier: Apache-2.0

extension DMABuf {
  /// How the CPU reaches a buffer's bytes: a contiguous range of addresses in dma-buf order.
  ///
  /// A plain value without ownership: valid as long as the ``DMABuf`` lives.
  @safe public struct CPUFace: @unchecked Sendable {
    /// What is mapped there.
    public enum Source: Hashable, Sendable {
      /// The memory file beneath: pages that the kernel can pin (MSG_ZEROCOPY, AF_XDP, io_uring).
      case memoryFile
      /// The dma-buf itself: loads and stores, and perhaps nothing else.
      case dmaBuf
    }

    /// Where offset 0 of the buffer is. Page-aligned.
    public let baseAddress: UnsafeMutableRawPointer
    /// Bytes; the buffer's.
    public let byteCount: Int
    /// What is mapped there.
    public let source: Source
    /// Whether stores are allowed; a store to a read-only face raises SIGSEGV.
    public let isWritable: Bool

    init(
      baseAddress: UnsafeMutableRawPointer, byteCount: Int, source: Source, isWritable: Bool
    ) {
      unsafe self.baseAddress = unsafe baseAddress
      self.byteCount = byteCount
      self.source = source
      self.isWritable = isWritable
    }

    /// All bytes. Valid as long as the ``DMABuf`` lives.
    @unsafe public var bytes: UnsafeMutableRawBufferPointer {
      unsafe UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
    }
  }
}
