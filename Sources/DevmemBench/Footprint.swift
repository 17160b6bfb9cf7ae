// SPDX-License-Identifier: Apache-2.0

import CBenchSupport
import Devmem

/// What the library itself needs of memory for device memory that is carved.
public struct Footprint: Sendable {
  /// Number of IOVs.
  public let iovCount: Int
  /// Bytes that the process had more of from malloc once all was carved: records,
  /// allocator, tables, objects.
  public let byteCount: Int

  /// Bytes for each IOV.
  public var bytesPerIOV: Double { Double(byteCount) / Double(iovCount) }

  /// Binds a contiguous buffer in IOVs of 4 KiB: a memory file, which is one run whatever the pages
  /// beneath it are.
  /// - Throws: `DevmemError`.
  public static func measure(byteCount: Int = 1 << 30) throws -> Footprint {
    let buffer = try DMABuf.memoryFile(byteCount: byteCount)
    let before = cbench_allocated_byte_count()
    let carving = try DMABufCarving(buffer)
    let after = cbench_allocated_byte_count()
    return withExtendedLifetime(carving) {
      Footprint(iovCount: carving.iovCount, byteCount: Int(after) - Int(before))
    }
  }
}
