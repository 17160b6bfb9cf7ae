// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Takes one granule, whichever is found fastest. Nil: at some moment of the call nothing was
  /// free.
  ///
  /// Any thread. With `free(granule:in:)` and a loop around both: 41 instructions
  /// (`genpool_4k_*`), at every size and fill.
  @inlinable
  public func allocateGranule() -> Granule? {
    let record = pool.favourite
    let leaves = record.leaves
    let word = record.hint
    let found = leaves.load(word)
    guard found != 0 else { return searchGranule() }
    let bit = found.trailingZeroBitCount
    guard leaves.takeBit(bit, at: word) else { return searchGranule() }
    return Granule(chunk: Chunk(record, generation: record.generation), index: word << 6 | bit)
  }

  @inline(never) @usableFromInline
  func searchGranule() -> Granule? {
    guard let (record, word, bits) = pool.takeLowest(upTo: 1) else { return nil }
    pool.remember(record)
    record.remember(word)
    return Granule(
      chunk: Chunk(record, generation: record.generation),
      index: word << 6 | bits.trailingZeroBitCount)
  }

  /// Takes up to `count` granules of one bitmap word, by one atomic operation where the word at
  /// hand has some; fewer than asked does not mean that there are no more. Nil: at some moment of
  /// the call nothing was free.
  ///
  /// Any thread.
  ///
  /// - Parameter count: 1...64; below is read as 1, above as 64.
  public func allocateBatch(upTo count: Int) -> Batch? {
    let record = pool.favourite
    let leaves = record.leaves
    let word = record.hint
    let bits = leaves.takeLowest(count, at: word)
    guard bits != 0 else { return nextBatch(count, record, after: word) }
    return Batch(
      chunk: Chunk(record, generation: record.generation), firstGranule: word << 6, mask: bits)
  }

  /// Tries the word behind the one that is used up before it asks the summary: a pool that is used
  /// up in order then finds its way without repairs.
  @inline(never)
  private func nextBatch(_ count: Int, _ record: RecordRef, after word: Int) -> Batch? {
    let next = word + 1 < record.leafCapacity ? word + 1 : 0
    let bits = record.leaves.takeLowest(count, at: next)
    let generation = record.generation
    guard bits != 0, generation != 0 else { return searchBatch(count) }
    record.remember(next)
    return Batch(
      chunk: Chunk(record, generation: generation), firstGranule: next << 6, mask: bits)
  }

  @inline(never)
  private func searchBatch(_ count: Int) -> Batch? {
    guard let (record, word, bits) = pool.takeLowest(upTo: count) else { return nil }
    pool.remember(record)
    record.remember(word)
    return Batch(
      chunk: Chunk(record, generation: record.generation), firstGranule: word << 6, mask: bits)
  }
}

extension BitmapWords {
  /// Clears one bit; true if it was set.
  @inlinable @inline(__always)
  func takeBit(_ bit: Int, at index: Int) -> Bool {
    let mask: UInt64 = 1 &<< UInt64(truncatingIfNeeded: bit)
    return clear(mask, at: index) & mask != 0
  }

  /// Clears the lowest `count` set bits, or all if there are fewer, and returns them.
  @inline(__always)
  func takeLowest(_ count: Int, at index: Int) -> UInt64 {
    var word = load(index)
    while word != 0 {
      var rest: UInt64 = 0
      if count < 64 {
        rest = word & (word &- 1)
        var taken = 1
        while taken < count, rest != 0 {
          rest &= rest &- 1
          taken &+= 1
        }
      }
      let before = word
      if exchange(&word, for: rest, at: index) { return before ^ rest }
    }
    return 0
  }
}
