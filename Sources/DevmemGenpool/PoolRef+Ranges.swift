// SPDX-License-Identifier: Apache-2.0

/// The part of a granule range that lies in one leaf word.
private struct WordRange {
  let word: Int
  let mask: UInt64

  /// The part from granule `first` on of a range that ends before `end`.
  init(first: Int, end: Int) {
    word = first >> 6
    mask = bits(from: first & 63, count: end - first)
  }

  /// The first granule behind it, at most `end`.
  func next(before end: Int) -> Int { min((word + 1) << 6, end) }
}

extension PoolRef {
  /// Takes exactly these granules; false, and nothing changed, if one of them is taken.
  func take(_ record: RecordRef, first: Int, count: Int) -> Bool {
    let end = first + count
    guard first >> 6 != (end - 1) >> 6 else {
      return record.leaves.take(bits(from: first & 63, count: count), at: first >> 6)
    }
    // A claim of several words may yet be undone, and would hide free granules meanwhile.
    beginUnsettled()
    defer { endUnsettled() }
    var position = first
    while position < end {
      let part = WordRange(first: position, end: end)
      guard record.leaves.take(part.mask, at: part.word) else {
        give(record, first: first, end: position)
        return false
      }
      position = part.next(before: end)
    }
    return true
  }

  /// Gives granules back that are known to be taken by the caller.
  func give(_ record: RecordRef, first: Int, end: Int) {
    var position = first
    while position < end {
      let part = WordRange(first: position, end: end)
      record.leaves.set(part.mask, at: part.word)
      if !record.level1.test(part.word) { settle(record, leaf: part.word) }
      position = part.next(before: end)
    }
  }

  /// Gives granules back that somebody says are taken.
  func free(_ record: RecordRef, first: Int, count: Int) throws(GenPoolError) {
    let word = first >> 6
    guard (first &+ count &- 1) >> 6 == word,
      record.leaves.give(bits(from: first & 63, count: count), at: word)
    else { return try freeWords(record, first: first, count: count) }
    if !record.level1.test(word) { settle(record, leaf: word) }
  }

  /// The same for several words: looks first whether all of it is taken. Finds the reason, too, why
  /// one word was refused.
  @inline(never)
  private func freeWords(
    _ record: RecordRef, first: Int, count: Int
  ) throws(GenPoolError) {
    let end = first + count
    if let free = record.firstFree(from: first, before: end) {
      throw refusal(record, first: first, count: count, free: free)
    }
    var position = first
    while position < end {
      let part = WordRange(first: position, end: end)
      guard record.leaves.give(part.mask, at: part.word) else {
        // Somebody else has just freed a part of the same range.
        takeBack(record, first: first, end: position)
        throw refusal(record, first: first, count: count, free: position)
      }
      if !record.level1.test(part.word) { settle(record, leaf: part.word) }
      position = part.next(before: end)
    }
  }

  private func takeBack(_ record: RecordRef, first: Int, end: Int) {
    var position = first
    while position < end {
      let part = WordRange(first: position, end: end)
      record.leaves.clear(part.mask, at: part.word)
      position = part.next(before: end)
    }
  }

  private func refusal(_ record: RecordRef, first: Int, count: Int, free: Int) -> GenPoolError {
    GenPoolError(
      free == first ? .doubleFree : .wrongSize,
      address: record.base &+ UInt64(first) &<< UInt64(granuleShift),
      byteCount: count &<< granuleShift)
  }
}
