// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Hands out ranges of the process-wide 32-bit IOV indices.
///
/// An index names one buffer in the whole process: that is what lets a token of another pool be
/// told from a stale one. Index 0 means "none", those from ``NetmemToken/firstSharedIndex`` on are
/// of second references. Used when slabs are made and freed, never on a data path.
///
/// With a range goes the generation at which its records begin: above all that were ever used with
/// any of its indices, counting modulo 2^32. So a token of a slab that is gone fits no slab before
/// 2^31 detaches of buffers with its index.
final class NetIOVIndexSpace: Sendable {
  static let shared = NetIOVIndexSpace()

  struct Start {
    var value: UInt32
    /// Even.
    var generation: UInt32
  }

  private struct FreeRange {
    var indices: Range<UInt64>
    var generation: UInt64
  }

  private struct Ranges {
    /// Free ranges in ascending order. Neighbours are joined and take the higher generation: those
    /// are kept as 64 bits here, so that higher has a meaning.
    var free = [FreeRange(indices: 1..<UInt64(NetmemToken.firstSharedIndex), generation: 0)]
    /// The generations that living slabs began at, by first index.
    var taken: [UInt32: UInt64] = [:]
  }
  private let ranges = Mutex(Ranges())

  /// The lowest range of `count` free indices, or nil when there is none.
  func take(count: Int) -> Start? {
    ranges.withLock { ranges in
      guard let position = ranges.free.firstIndex(where: { $0.indices.count >= count }) else {
        return nil
      }
      let range = ranges.free[position]
      let first = range.indices.lowerBound
      let end = first + UInt64(count)
      if end == range.indices.upperBound {
        ranges.free.remove(at: position)
      } else {
        ranges.free[position].indices = end..<range.indices.upperBound
      }
      ranges.taken[UInt32(first)] = range.generation
      return Start(
        value: UInt32(first), generation: UInt32(truncatingIfNeeded: range.generation))
    }
  }

  /// Gives a range back and joins it to its free neighbours.
  /// - Parameter nextGeneration: even, above all that were used.
  func release(_ first: UInt32, count: UInt32, nextGeneration: UInt32) {
    ranges.withLock { ranges in
      let began = ranges.taken.removeValue(forKey: first) ?? 0
      var given = FreeRange(
        indices: UInt64(first)..<UInt64(first) + UInt64(count),
        generation: began + UInt64(nextGeneration &- UInt32(truncatingIfNeeded: began)))
      var position =
        ranges.free.firstIndex { $0.indices.lowerBound >= given.indices.upperBound }
        ?? ranges.free.endIndex
      if position < ranges.free.endIndex,
        ranges.free[position].indices.lowerBound == given.indices.upperBound
      {
        let next = ranges.free.remove(at: position)
        given.indices = given.indices.lowerBound..<next.indices.upperBound
        given.generation = max(given.generation, next.generation)
      }
      if position > 0, ranges.free[position - 1].indices.upperBound == given.indices.lowerBound {
        position -= 1
        let last = ranges.free.remove(at: position)
        given.indices = last.indices.lowerBound..<given.indices.upperBound
        given.generation = max(given.generation, last.generation)
      }
      ranges.free.insert(given, at: position)
    }
  }
}
