// SPDX-License-Identifier: Apache-2.0

extension RecordRef {
  /// The lowest free granule in `from..<end`, by way of the summary, which gets repaired where it
  /// turns out to be wrong: otherwise each search would come through the same empty words again.
  func firstFree(from: Int, before end: Int) -> Int? {
    guard from < end else { return nil }
    var word = from >> 6
    if from & 63 != 0 {
      let found = leaves.load(word) & (~0 << UInt64(from & 63))
      if found != 0 { return granule(word, found, before: end) }
      word += 1
    }
    while let next = nextHinted(from: word), next << 6 < end {
      let found = leaves.load(next)
      if found != 0 { return granule(next, found, before: end) }
      pool.settle(self, leaf: next)
      word = next + 1
    }
    return nil
  }

  private func granule(_ word: Int, _ found: UInt64, before end: Int) -> Int? {
    let granule = word << 6 | found.trailingZeroBitCount
    return granule < end ? granule : nil
  }

  /// The lowest taken granule in `from..<end`, or `end`.
  func firstTaken(from: Int, before end: Int) -> Int {
    var position = from
    while position < end {
      let taken = ~leaves.load(position >> 6) & (~0 << UInt64(position & 63))
      if taken != 0 { return min(position & ~63 | taken.trailingZeroBitCount, end) }
      position = (position & ~63) + 64
    }
    return end
  }

  /// The highest taken granule in `first..<end`; from behind, so that a search can jump past it.
  private func lastTaken(from first: Int, before end: Int) -> Int? {
    var position = end - 1
    while position >= first {
      let taken = ~leaves.load(position >> 6) & (~0 >> UInt64(63 - position & 63))
      if taken != 0 {
        let granule = position & ~63 | (63 - taken.leadingZeroBitCount)
        return granule >= first ? granule : nil
      }
      position = (position & ~63) - 1
    }
    return nil
  }

  /// The lowest place at or behind `from` for `count` granules whose index plus `offset` is a
  /// multiple of `mask + 1` (`bitmap_find_next_zero_area_off`).
  func place(for count: Int, from: Int, mask: Int = 0, offset: Int = 0) -> Int? {
    let end = granuleCount
    var index = from
    while let free = firstFree(from: index, before: end) {
      // Not by rounding the sum up: with a mask of 62 bits it would overflow.
      let start = free + (0 &- (free + offset)) & mask
      guard start + count <= end else { return nil }
      guard let taken = lastTaken(from: start, before: start + count) else { return start }
      index = taken + 1
    }
    return nil
  }

  /// The start of the smallest free run of at least `count` granules.
  func bestPlace(for count: Int) -> Int? {
    var best: (start: Int, count: Int)?
    let end = granuleCount
    var index = 0
    while let start = place(for: count, from: index) {
      index = firstTaken(from: start + count, before: end)
      let length = index - start
      if length == count { return start }
      if length < best?.count ?? .max { best = (start, length) }
    }
    return best?.start
  }

  /// How many granules are free.
  var freeGranuleCount: Int {
    var sum = 0
    var word = 0
    while let next = nextHinted(from: word) {
      sum += leaves.load(next).nonzeroBitCount
      word = next + 1
    }
    return sum
  }
}
