// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Gives one granule back.
  ///
  /// Any thread. Budget: see `allocateGranule()`.
  ///
  /// - Throws: `staleChunk`, `granuleOutOfRange`, `doubleFree`; nothing has changed then.
  @inlinable
  public func free(granule: Int, in chunk: Chunk) throws(GenPoolError) {
    // Both ways out of the fast path are tail calls: with a call that returns here, the compiler
    // saves registers for it on every pass (47 instructions instead of 27).
    let record = chunk.record
    guard record.belongs(to: pool), record.generation == chunk.generation,
      UInt(bitPattern: granule) < UInt(bitPattern: record.granuleCount),
      record.leaves.giveBit(granule)
    else { return try refuse(granule, in: chunk) }
    guard record.level1.test(granule >> 6) else { return try settle(granule, in: chunk) }
  }

  /// What is left to do after a granule came back to a word that the summary had given up.
  @inline(never) @usableFromInline
  func settle(_ granule: Int, in chunk: Chunk) throws(GenPoolError) {
    pool.settle(chunk.record, leaf: granule >> 6)
  }

  /// Gives one granule back.
  ///
  /// Any thread.
  ///
  /// - Throws: as `free(granule:in:)`.
  @inlinable
  public func free(_ granule: Granule) throws(GenPoolError) {
    try free(granule: granule.index, in: granule.chunk)
  }

  @inline(never) @usableFromInline
  func refuse(_ granule: Int, in chunk: Chunk) throws(GenPoolError) {
    guard chunk.record.belongs(to: pool), chunk.isLive else { throw GenPoolError(.staleChunk) }
    guard granule >= 0, granule < chunk.granuleCount else {
      throw GenPoolError(.granuleOutOfRange, address: UInt64(bitPattern: Int64(granule)))
    }
    throw GenPoolError(
      .doubleFree, address: chunk.address(ofGranule: granule), byteCount: granuleByteCount)
  }

  /// Gives the granules of a batch back, by one atomic operation.
  ///
  /// Any thread. An empty mask is no error and does nothing.
  ///
  /// - Throws: `staleChunk`, `granuleOutOfRange`, `doubleFree` (of any of them); none was given
  ///   back then.
  public func free(_ batch: Batch) throws(GenPoolError) {
    let record = batch.chunk.record
    let word = batch.firstGranule >> 6
    guard record.belongs(to: pool), record.generation == batch.chunk.generation,
      batch.firstGranule & 63 == 0,
      // First, so that the sum cannot overflow.
      UInt(bitPattern: batch.firstGranule) < UInt(bitPattern: record.granuleCount),
      batch.firstGranule &+ 64 &- batch.mask.leadingZeroBitCount <= record.granuleCount,
      record.leaves.give(batch.mask, at: word)
    else { return try refuse(batch) }
    guard record.level1.test(word) else { return try settle(batch.firstGranule, in: batch.chunk) }
  }

  @inline(never)
  private func refuse(_ batch: Batch) throws(GenPoolError) {
    let chunk = batch.chunk
    guard chunk.record.belongs(to: pool), chunk.isLive else { throw GenPoolError(.staleChunk) }
    guard batch.mask != 0 else { return }
    let end = batch.firstGranule.addingReportingOverflow(64 - batch.mask.leadingZeroBitCount)
    guard batch.firstGranule >= 0, batch.firstGranule & 63 == 0, !end.overflow,
      end.partialValue <= chunk.granuleCount
    else {
      throw GenPoolError(
        .granuleOutOfRange, address: UInt64(bitPattern: Int64(batch.firstGranule)))
    }
    throw GenPoolError(
      .doubleFree, address: chunk.address(ofGranule: batch.firstGranule),
      byteCount: batch.count &<< granuleShift)
  }

  /// Gives a whole allocation back.
  ///
  /// Any thread.
  ///
  /// - Throws: as `free(address:byteCount:)`, and `staleChunk`.
  public func free(_ allocation: Allocation) throws(GenPoolError) {
    let record = allocation.chunk.record
    guard record.belongs(to: pool), allocation.chunk.isLive else {
      throw GenPoolError(.staleChunk, address: allocation.address, byteCount: allocation.byteCount)
    }
    try pool.free(
      record, first: allocation.firstGranule, count: allocation.granuleCount)
  }

  /// Gives a range back (`gen_pool_free_owner`). As in the kernel it may be a part of what one
  /// allocation took, or several that lie side by side in one chunk; unlike there, every granule of
  /// it must be allocated.
  ///
  /// Any thread, also while chunks are added. Finds the chunk in O(log chunks).
  ///
  /// - Parameters:
  ///   - address: of the first byte; a multiple of the granule.
  ///   - byteCount: at least 1; rounded up to whole granules, as in `allocate`.
  /// - Throws: `zeroByteCount`, `foreignAddress`, `misalignedAddress`, `wrongSize` (the first
  ///   granule is allocated, but not all the others are, or the chunk ends before), `doubleFree`
  ///   (the first granule is free). Nothing has changed then; only when two threads free
  ///   overlapping ranges of several words at the same moment, which is a double free in itself, a
  ///   third one may have been given a part of the refused range meanwhile, and that part stays
  ///   given.
  public func free(address: UInt64, byteCount: Int) throws(GenPoolError) {
    guard byteCount > 0 else {
      throw GenPoolError(.zeroByteCount, address: address, byteCount: byteCount)
    }
    guard let record = pool.record(at: address) else {
      throw GenPoolError(.foreignAddress, address: address, byteCount: byteCount)
    }
    guard address & UInt64(granuleByteCount - 1) == 0 else {
      throw GenPoolError(.misalignedAddress, address: address, byteCount: byteCount)
    }
    let first = Int(truncatingIfNeeded: (address &- record.base) &>> UInt64(granuleShift))
    let count = (byteCount &- 1) &>> granuleShift &+ 1
    let granuleCount = record.granuleCount
    // `first` is somewhere else only if the chunk was removed since.
    guard UInt(bitPattern: first) < UInt(bitPattern: granuleCount), count <= granuleCount - first
    else {
      throw GenPoolError(.wrongSize, address: address, byteCount: byteCount)
    }
    try pool.free(record, first: first, count: count)
  }
}

extension BitmapWords {
  /// Sets the bit `index` of the row; true if it was clear. Compiles to one `lock bts`.
  @inlinable @inline(__always)
  func giveBit(_ index: Int) -> Bool {
    let mask: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index & 63)
    return set(mask, at: index >> 6) & mask == 0
  }

  /// The bit `index` of the row.
  @inlinable @inline(__always)
  func test(_ index: Int) -> Bool {
    load(index >> 6) & (1 &<< UInt64(truncatingIfNeeded: index & 63)) != 0
  }
}
