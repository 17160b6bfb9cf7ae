// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Takes up to `count` granules of the bitmap word at a place that the caller remembers, or of
  /// the word behind it. Nil when both are used up: then ask `allocateBatch(upTo:)`.
  ///
  /// `allocateBatch(upTo:)` goes by a hint that all threads share. Consumers that keep a place each
  /// do not meet there, nor in a word while their places differ. Any thread.
  ///
  /// - Parameters:
  ///   - count: 1...64; below is read as 1, above as 64.
  ///   - chunk: a chunk of this pool; nil is returned for one that is gone.
  ///   - granule: a position in the chunk.
  public func allocateBatch(upTo count: Int, in chunk: Chunk, near granule: Int) -> Batch? {
    let record = chunk.record
    guard record.belongs(to: pool), record.generation == chunk.generation, granule >= 0,
      granule < record.granuleCount
    else { return nil }
    var word = granule >> 6
    var bits = record.leaves.takeLowest(count, at: word)
    if bits == 0 {
      word = word + 1 < record.leafCapacity ? word + 1 : 0
      bits = record.leaves.takeLowest(count, at: word)
      guard bits != 0 else { return nil }
    }
    let batch = Batch(chunk: chunk, firstGranule: word << 6, mask: bits)
    guard record.generation == chunk.generation else {
      // Another chunk has got the slot since; the bits are of its granules.
      record.leaves.set(bits, at: word)
      if !record.level1.test(word) { pool.settle(record, leaf: word) }
      return nil
    }
    return batch
  }
}
