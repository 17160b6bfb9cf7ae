// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Takes a range (`gen_pool_alloc_algo_owner`). It lies in one chunk; chunks are tried from the
  /// newest to the oldest.
  ///
  /// Any thread; takes no lock. Nil, and never a trap, when nothing fits: no place that fits was
  /// free during the whole call (and for one granule of `firstFit`: at some moment of it nothing
  /// was free at all).
  ///
  /// - Parameters:
  ///   - byteCount: rounded up to whole granules; 0 or below fits nowhere.
  ///   - strategy: where in the chunk.
  public func allocate(byteCount: Int, strategy: Strategy = .firstFit) -> Allocation? {
    guard byteCount > 0 else { return nil }
    let count = (byteCount &- 1) &>> granuleShift &+ 1
    if count == 1, case .firstFit = strategy {
      guard let (record, word, bits) = pool.takeLowest(upTo: 1) else { return nil }
      return allocation(record, first: word << 6 | bits.trailingZeroBitCount, count: 1)
    }
    guard let (record, first) = pool.takePlace(for: count, strategy) else { return nil }
    return allocation(record, first: first, count: count)
  }

  @inline(__always)
  private func allocation(_ record: RecordRef, first: Int, count: Int) -> Allocation {
    let chunk = Chunk(record, generation: record.generation)
    return Allocation(
      chunk: chunk, firstGranule: first, granuleCount: count,
      address: chunk.address(ofGranule: first), byteCount: count &<< granuleShift)
  }
}

extension PoolRef {
  /// How often a search of all chunks is repeated because something was unsettled.
  private static var walkLimit: Int { 64 }

  /// Takes `count` granules where the strategy wants them.
  func takePlace(
    for count: Int, _ strategy: GenPool.Strategy
  ) -> (record: RecordRef, first: Int)? {
    for _ in 0..<Self.walkLimit {
      let before = unsettled
      var slot = slotCount - 1
      while let record = newestHinted(atOrBelow: slot) {
        if let first = takePlace(in: record, for: count, strategy) { return (record, first) }
        slot = record.slot - 1
      }
      if stayedSettled(since: before) { return nil }
    }
    return nil
  }

  private func takePlace(
    in record: RecordRef, for count: Int, _ strategy: GenPool.Strategy
  ) -> Int? {
    var from = 0
    while true {
      let generation = record.generation
      guard generation != 0, count <= record.granuleCount,
        let first = place(in: record, for: count, from: from, strategy)
      else { return nil }
      if take(record, first: first, count: count) {
        if record.generation == generation { return first }
        // Another chunk has got the slot since: the place may not suit there.
        give(record, first: first, end: first + count)
        return nil
      }
      // Somebody was faster. As the kernel does, look on from there.
      from = first
    }
  }

  private func place(
    in record: RecordRef, for count: Int, from: Int, _ strategy: GenPool.Strategy
  ) -> Int? {
    switch strategy {
    case .firstFit:
      return record.place(for: count, from: from)
    case .bestFit:
      return record.bestPlace(for: count)
    case .firstFitAligned(to: let alignment):
      guard alignment > 0, alignment & (alignment - 1) == 0 else { return nil }
      let mask = max(alignment &>> granuleShift, 1) - 1
      let offset = Int(truncatingIfNeeded: record.base &>> UInt64(granuleShift)) & mask
      return record.place(for: count, from: from, mask: mask, offset: offset)
    case .firstFitOrderAligned:
      let order = Int.bitWidth - (count - 1).leadingZeroBitCount
      return record.place(for: count, from: from, mask: 1 << order - 1)
    case .fixedOffset(let offset):
      guard offset >= 0, offset & (granuleByteCount - 1) == 0 else { return nil }
      let first = offset &>> granuleShift
      guard first <= record.granuleCount - count,
        record.firstTaken(from: first, before: first + count) == first + count
      else { return nil }
      return first
    }
  }
}
