// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension GenPool {
  /// The size of all chunks in bytes (`gen_pool_size`).
  public var byteCount: Int { pool.byteCount }

  /// How many chunks there are.
  public var chunkCount: Int { pool.chunkCount }

  /// Free bytes of all chunks (`gen_pool_avail`). Counted when asked for, in time proportional to
  /// the free words, so that allocating needs no shared counter; exact while nobody allocates or
  /// frees.
  public var availableByteCount: Int {
    var sum = 0
    for chunk in chunks { sum += availableByteCount(of: chunk) }
    return sum
  }

  /// Bytes that are allocated; exact as `availableByteCount` is.
  public var outstandingByteCount: Int { byteCount - availableByteCount }

  /// Nothing is allocated; exact as `availableByteCount` is.
  public var isEmpty: Bool { outstandingByteCount == 0 }

  /// The largest number of bytes that one allocation could get; exact as `availableByteCount` is.
  public var largestFreeRun: Int { fragmentation.largestFreeRunByteCount }

  /// How torn the free space is.
  public struct Fragmentation: Equatable, Sendable {
    /// The size of all chunks in bytes.
    public let byteCount: Int
    /// Free bytes.
    public let freeByteCount: Int
    /// The largest free run in bytes. Runs end at their chunk's end.
    public let largestFreeRunByteCount: Int
    /// How many free runs there are.
    public let freeRunCount: Int

    /// The share of the free bytes that lies outside the largest run: 0 when one allocation could
    /// take all, near 1 when the free space is dust.
    public var ratio: Double {
      freeByteCount == 0 ? 0 : 1 - Double(largestFreeRunByteCount) / Double(freeByteCount)
    }
  }

  /// Walks all free runs of all chunks; exact as `availableByteCount` is.
  public var fragmentation: Fragmentation {
    var free = 0
    var largest = 0
    var runs = 0
    for chunk in chunks {
      let record = chunk.record
      let end = record.granuleCount
      var index = 0
      while let start = record.firstFree(from: index, before: end) {
        index = record.firstTaken(from: start, before: end)
        free += index - start
        largest = max(largest, index - start)
        runs += 1
      }
    }
    return Fragmentation(
      byteCount: byteCount, freeByteCount: free &<< granuleShift,
      largestFreeRunByteCount: largest &<< granuleShift, freeRunCount: runs)
  }
}

extension PoolRef {
  var byteCount: Int { unsafe pointer.pointee.byteCount.load(ordering: .relaxed) }
  var chunkCount: Int { unsafe pointer.pointee.chunkCount.load(ordering: .relaxed) }
}
