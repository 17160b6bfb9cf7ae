// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Takes exactly these granules of one chunk, or nothing if one of them is taken already.
  ///
  /// Any thread; takes no lock. The kernel's `gen_pool_fixed_alloc` cannot name the chunk.
  ///
  /// - Parameters:
  ///   - granules: positions in the chunk, at least one.
  ///   - chunk: a chunk of this pool.
  /// - Returns: nil as well for a chunk that is gone and for a range that it does not have.
  public func allocate(granules: Range<Int>, in chunk: Chunk) -> Allocation? {
    let record = chunk.record
    guard record.belongs(to: pool), record.generation == chunk.generation, !granules.isEmpty,
      granules.lowerBound >= 0, granules.upperBound <= record.granuleCount,
      record.firstTaken(from: granules.lowerBound, before: granules.upperBound)
        == granules.upperBound,
      pool.take(record, first: granules.lowerBound, count: granules.count)
    else { return nil }
    guard record.generation == chunk.generation else {
      pool.give(record, first: granules.lowerBound, end: granules.upperBound)
      return nil
    }
    return Allocation(
      chunk: chunk, firstGranule: granules.lowerBound, granuleCount: granules.count,
      address: chunk.address(ofGranule: granules.lowerBound),
      byteCount: granules.count << granuleShift)
  }
}
