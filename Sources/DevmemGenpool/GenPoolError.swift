// SPDX-License-Identifier: Apache-2.0

/// What a `GenPool` refuses. Nothing in the pool has changed when one of these is thrown.
///
/// Counterpart of the places where `lib/genalloc.c` has `BUG()`, `BUG_ON()` or no check at all.
public struct GenPoolError: Error, Equatable, Sendable {
  /// What was wrong. The raw value is stable and fit for logs.
  public enum Code: String, Sendable, CaseIterable {
    /// The granule is not a power of two, or below one byte.
    case invalidGranule
    /// A byte count of zero or below.
    case zeroByteCount
    /// An address that is no multiple of the granule.
    case misalignedAddress
    /// A chunk size that is no multiple of the granule.
    case misalignedByteCount
    /// `base + byteCount` does not fit in 64 bits, or all chunks together have more than `Int.max`
    /// bytes.
    case addressOverflow
    /// The new chunk shares addresses with one that is in the pool.
    case overlappingChunk
    /// More granules than one chunk can hold.
    case chunkTooLarge
    /// More chunks than one pool can hold.
    case tooManyChunks
    /// The handle is of a chunk that was removed, or of another pool.
    case staleChunk
    /// The chunk still has granules out.
    case chunkInUse
    /// The address lies in no chunk.
    case foreignAddress
    /// A granule index, or a bit of a batch, outside the chunk.
    case granuleOutOfRange
    /// The range begins in allocated memory but runs past the chunk or into free granules.
    case wrongSize
    /// The granule is free already.
    case doubleFree
  }

  /// What was wrong.
  public let code: Code
  /// The address it was about (a granule index for `granuleOutOfRange`), else 0.
  public let address: UInt64
  /// The byte count it was about, else 0.
  public let byteCount: Int

  init(_ code: Code, address: UInt64 = 0, byteCount: Int = 0) {
    self.code = code
    self.address = address
    self.byteCount = byteCount
  }
}

extension GenPoolError: CustomStringConvertible {
  /// What was refused and the way out, in one line.
  public var description: String { "\(code.rawValue): \(wayOut)" }

  private var wayOut: String {
    let place = "0x" + String(address, radix: 16)
    switch code {
    case .invalidGranule:
      return "a granule of \(byteCount) bytes; use a power of two, such as 4096"
    case .zeroByteCount:
      return "a size of \(byteCount) bytes; pass at least 1"
    case .misalignedAddress:
      return "\(place) is no multiple of the granule; pass the address as it was allocated, "
        + "or round a chunk's base up"
    case .misalignedByteCount:
      return "\(byteCount) bytes are no multiple of the granule; round the chunk down to whole "
        + "granules"
    case .addressOverflow:
      return "\(byteCount) bytes from \(place) run past the end of the address space"
    case .overlappingChunk:
      return "\(byteCount) bytes from \(place) overlap a chunk of this pool; remove that first, "
        + "or use a second pool"
    case .chunkTooLarge:
      return "\(byteCount) bytes are more than \(GenPool.maximumGranuleCount) granules; add it as "
        + "several chunks or use a larger granule"
    case .tooManyChunks:
      return "the pool holds \(GenPool.maximumChunkCount) chunks already; join neighbours or use "
        + "a second pool"
    case .staleChunk:
      return "this chunk was removed, or belongs to another pool; use a handle that addChunk of "
        + "this pool returned"
    case .chunkInUse:
      return "the chunk at \(place) still has \(byteCount) bytes allocated; free them first"
    case .foreignAddress:
      return "\(place) lies in no chunk of this pool; free it where it was allocated"
    case .granuleOutOfRange:
      return "granule \(address) lies outside its chunk; pass the index as it was allocated"
    case .wrongSize:
      return "\(byteCount) bytes from \(place) are not all allocated in one chunk; pass the size "
        + "that was allocated"
    case .doubleFree:
      return "\(place) is free already; give each allocation back once"
    }
  }
}
