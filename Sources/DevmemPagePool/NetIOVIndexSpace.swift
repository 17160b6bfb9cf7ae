// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Hands out ranges of the process-wide 32-bit IOV indices.
///
/// An index names one buffer in the whole process: that is what lets a token of another pool be
/// told from a stale one. Index 0 means "none", the last one is
/// ``NetmemToken/sharedIndex``. Used when slabs are made and freed, never on a data path.
final class NetIOVIndexSpace: Sendable {
  static let shared = NetIOVIndexSpace()

  struct Start {
    var value: UInt32
    /// Even, and another one each time an index range is handed out.
    var generationSeed: UInt32
  }

  private struct Ranges {
    /// Free ranges in ascending order, no two of them adjacent.
    var free: [Range<UInt64>] = [1..<UInt64(NetmemToken.sharedIndex)]
    var serial: UInt32 = 0
  }
  private let ranges = Mutex(Ranges())

  /// The lowest range of `count` free indices, or nil when there is none.
  func take(count: Int) -> Start? {
    ranges.withLock { ranges in
      guard let position = ranges.free.firstIndex(where: { $0.count >= count }) else { return nil }
      let range = ranges.free[position]
      let end = range.lowerBound + UInt64(count)
      if end == range.upperBound {
        ranges.free.remove(at: position)
      } else {
        ranges.free[position] = end..<range.upperBound
      }
      ranges.serial &+= 1
      // 2^32 divided by the golden ratio: successive serials land far apart.
      return Start(
        value: UInt32(range.lowerBound), generationSeed: (ranges.serial &* 0x9E37_79B9) & ~1)
    }
  }

  /// Gives a range back and joins it to its free neighbours.
  func give(back first: UInt32, count: UInt32) {
    ranges.withLock { ranges in
      var range = UInt64(first)..<UInt64(first) + UInt64(count)
      var position =
        ranges.free.firstIndex { $0.lowerBound >= range.upperBound }
        ?? ranges.free.endIndex
      if position < ranges.free.endIndex, ranges.free[position].lowerBound == range.upperBound {
        range = range.lowerBound..<ranges.free[position].upperBound
        ranges.free.remove(at: position)
      }
      if position > 0, ranges.free[position - 1].upperBound == range.lowerBound {
        position -= 1
        range = ranges.free[position].lowerBound..<range.upperBound
        ranges.free.remove(at: position)
      }
      ranges.free.insert(range, at: position)
    }
  }
}
