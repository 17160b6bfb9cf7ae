// SPDX-License-Identifier: Apache-2.0

extension PoolRef {
  /// How often a search is repeated because something was unsettled, before it gives up all the
  /// same: some milliseconds, against the microsecond that a repair takes.
  private static var patience: Int { 1 << 18 }

  /// Takes the lowest free granules, `count` or fewer, of the first word that has any, in the
  /// newest chunk that has any. Nil: at some moment of the call nothing was free, where a granule
  /// counts as free from the moment when the call that frees it has returned.
  func takeLowest(upTo count: Int) -> (record: RecordRef, word: Int, bits: UInt64)? {
    for _ in 0..<Self.patience {
      let before = unsettled
      while let record = newestHinted() {
        guard let word = record.lowestHinted(pool: self) else { continue }
        let bits = record.leaves.takeLowest(count, at: word)
        if bits == 0 {
          settle(record, leaf: word)
        } else if record.generation != 0 {
          return (record, word, bits)
        }
      }
      if stayedSettled(since: before) { return nil }
    }
    return nil
  }

  /// The newest chunk of which the summary says that it has something free. Clears what turns out
  /// to be wrong on the way. Nil: the root is empty.
  private func newestHinted() -> RecordRef? {
    while true {
      let root = slotRoot
      guard root != 0 else { return nil }
      let top = 63 - root.leadingZeroBitCount
      let upper = slotWord(top)
      guard upper != 0 else {
        settleSlots(above: top << 18)
        continue
      }
      let segmentIndex = top << 6 | (63 - upper.leadingZeroBitCount)
      let segment = segment(segmentIndex)
      let middle = segment.top.load(0)
      guard middle != 0 else {
        settleSlots(above: segmentIndex << 12)
        continue
      }
      let word = 63 - middle.leadingZeroBitCount
      let lower = segment.slots.load(word)
      guard lower != 0 else {
        settleSlots(above: segmentIndex << 12 | word << 6)
        continue
      }
      return segment.record(word << 6 | (63 - lower.leadingZeroBitCount))
    }
  }

  /// The newest chunk at or below `slot` of which the summary says that it has something free.
  func newestHinted(atOrBelow slot: Int) -> RecordRef? {
    var slot = slot
    while slot >= 0 {
      let segment = segment(slot >> 12)
      let word = segment.slots.load(slot >> 6 & 63) & (~0 >> UInt64(63 - slot & 63))
      if word != 0 { return segment.record(slot & 4032 | (63 - word.leadingZeroBitCount)) }
      let top = segment.top.load(0) & ((1 << UInt64(slot >> 6 & 63)) - 1)
      slot = slot & ~4095
      slot = top != 0 ? slot | (63 - top.leadingZeroBitCount) << 6 | 63 : slot - 1
    }
    return nil
  }
}

extension RecordRef {
  /// The lowest leaf word of which the summary says that it has something free. Nil, and the path
  /// repaired, if a summary turned out to be wrong.
  func lowestHinted(pool: PoolRef) -> Int? {
    let level3 = level3
    for index3 in 0..<level3Count {
      let word3 = level3.load(index3)
      guard word3 != 0 else { continue }
      let index2 = index3 << 6 | word3.trailingZeroBitCount
      let word2 = level2.load(index2)
      guard word2 != 0 else {
        pool.settle(self, leaf: index2 << 12)
        return nil
      }
      let index1 = index2 << 6 | word2.trailingZeroBitCount
      let word1 = level1.load(index1)
      guard word1 != 0 else {
        pool.settle(self, leaf: index1 << 6)
        return nil
      }
      return index1 << 6 | word1.trailingZeroBitCount
    }
    pool.settle(self, leaf: 0)
    return nil
  }

  /// The first leaf word at or behind `leaf` of which the summary says that it has something free.
  func nextHinted(from leaf: Int) -> Int? {
    guard leaf < leafCapacity else { return nil }
    let word1 = level1.load(leaf >> 6) & (~0 << UInt64(leaf & 63))
    if word1 != 0 { return leaf & ~63 | word1.trailingZeroBitCount }
    let next1 = (leaf >> 6) + 1
    guard next1 << 6 < leafCapacity else { return nil }
    var index2 = next1 >> 6
    var word2 = level2.load(index2) & (~0 << UInt64(next1 & 63))
    let count2 = (leafCapacity + 4095) >> 12
    while true {
      while word2 != 0 {
        let index1 = index2 << 6 | word2.trailingZeroBitCount
        let word1 = level1.load(index1)
        if word1 != 0 { return index1 << 6 | word1.trailingZeroBitCount }
        word2 &= word2 - 1
      }
      index2 += 1
      guard index2 < count2 else { return nil }
      word2 = level2.load(index2)
    }
  }
}
