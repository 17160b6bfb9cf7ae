// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Hands out ranges of an address space that it never touches (`struct gen_pool`,
/// `lib/genalloc.c`).
///
/// The space is added in chunks, each with an owner, and handed out in granules. Allocation and
/// free may be called from any number of threads at once and take no lock; adding, removing and
/// listing chunks takes one. Finding a free granule costs the same in a small pool and in a large
/// one, in an empty one and in one that is nearly full.
///
/// ```
/// let pool = try GenPool(granuleByteCount: 4096)
/// _ = try pool.addChunk(base: 0x1_0000_0000, byteCount: 64 << 20)
/// if let buffer = pool.allocate(byteCount: 10_000) {  // nil: nothing fits
///   try pool.free(buffer)
/// }
/// ```
///
/// A pool that goes away with granules still out just forgets them, where the kernel has `BUG_ON`:
/// whoever must know asks `isEmpty` or `outstandingByteCount` first.
@safe public final class GenPool: @unchecked Sendable {
  /// Granules of the largest chunk: 4 TiB of 4 KiB granules.
  public static let maximumGranuleCount = 1 << 30
  /// Chunks of the largest pool.
  public static let maximumChunkCount = 1 << 24

  /// SAFETY: made in `init`, freed in `deinit`; what it points to is atomics and a mutex. That is
  /// also why the class is Sendable.
  @usableFromInline let state: UnsafeMutablePointer<PoolState>

  /// Makes an empty pool (`gen_pool_create`).
  ///
  /// - Parameter granuleByteCount: the unit of allocation in bytes, a power of two.
  /// - Throws: `invalidGranule`.
  public init(granuleByteCount: Int) throws(GenPoolError) {
    guard granuleByteCount > 0, granuleByteCount & (granuleByteCount - 1) == 0 else {
      throw GenPoolError(.invalidGranule, byteCount: granuleByteCount)
    }
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: PoolState(granuleShift: granuleByteCount.trailingZeroBitCount))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  @inlinable @inline(__always)
  var pool: PoolRef { unsafe PoolRef(state) }

  /// The unit of allocation in bytes.
  public var granuleByteCount: Int { pool.granuleByteCount }

  /// The logarithm of `granuleByteCount`.
  public var granuleShift: Int { pool.granuleShift }
}
