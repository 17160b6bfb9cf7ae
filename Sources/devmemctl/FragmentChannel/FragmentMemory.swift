// SPDX-License-Identifier: Apache-2.0

import Devmem

/// Where a reader of fragments finds their bytes.
protocol FragmentMemory {
  /// Runs `body` with access to the memory: one call for a whole batch. `body` asks for the bytes
  /// of one fragment after another and gets nil for a range that is not in the memory.
  func withAccess(
    _ body: ((_ offset: UInt64, _ byteCount: Int) -> UnsafeRawBufferPointer?) throws -> Void
  ) throws
}

/// An imported dma-buf (or the bare memory file that stands in for one), read through its own
/// mapping inside a sync bracket.
struct ImportedMemory: FragmentMemory {
  let buffer: DMABuf

  func withAccess(
    _ body: ((UInt64, Int) -> UnsafeRawBufferPointer?) throws -> Void
  ) throws {
    try buffer.withBytes(.read) { bytes in
      try unsafe body { offset, byteCount in
        guard byteCount >= 0, byteCount <= bytes.count,
          offset <= UInt64(bytes.count - byteCount)
        else { return nil }
        let start = Int(offset)
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + byteCount])
      }
    }
  }
}
