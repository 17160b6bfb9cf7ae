// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

extension DMABuf {
  /// A range of a memory file, as part of a scattered dma-buf (`struct udmabuf_create_item`).
  public struct MemoryRange: Sendable {
    /// The file; kept alive by the range.
    package let file: MemoryFile
    /// Where the range begins in the file, in bytes: a multiple of the base page size.
    package let offset: Int
    /// How long it is, in bytes: > 0, a multiple of the base page size.
    package let byteCount: Int

    /// Describes a range; it is checked when a buffer is made of it.
    ///
    /// - Parameters:
    ///   - file: the memory file, which the range keeps alive.
    ///   - offset: where the range begins, in bytes.
    ///   - byteCount: its length in bytes; nil for all that follows `offset`.
    public init(of file: MemoryFile, offset: Int = 0, byteCount: Int? = nil) {
      self.file = file
      self.offset = offset
      // An offset that no check will let pass may be too far away for a number.
      let rest = file.byteCount.subtractingReportingOverflow(offset)
      self.byteCount = byteCount ?? (rest.overflow ? .max : rest.partialValue)
    }

    /// The positions in the file. Only of a range that was checked.
    var positions: Range<Int> { offset..<offset + byteCount }
  }
}
