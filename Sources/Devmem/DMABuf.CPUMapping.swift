// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

extension DMABuf {
  /// A mapping with several holders.
  final class SharedMapping: Sendable {
    let mapping: MemoryMapping

    init(_ mapping: consuming MemoryMapping) {
      self.mapping = mapping
    }
  }

  /// How the CPU reaches a buffer's bytes: a contiguous range of addresses in dma-buf order.
  ///
  /// Keeps the mapping alive, and with it the memory: valid as long as the mapping or its
  /// ``DMABuf`` lives.
  @safe public struct CPUMapping: @unchecked Sendable {
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
    /// Whether stores are allowed; a store to a read-only mapping raises SIGSEGV.
    public let isWritable: Bool

    // SAFETY: baseAddress points into this mapping.
    private let mapping: SharedMapping

    init(_ mapping: SharedMapping, source: Source, isWritable: Bool) {
      unsafe self.baseAddress = unsafe mapping.mapping.baseAddress
      self.byteCount = mapping.mapping.byteCount
      self.source = source
      self.isWritable = isWritable
      self.mapping = mapping
    }

    /// All bytes. Valid as long as the mapping or its ``DMABuf`` lives.
    @unsafe public var bytes: UnsafeMutableRawBufferPointer {
      unsafe UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
    }
  }
}
