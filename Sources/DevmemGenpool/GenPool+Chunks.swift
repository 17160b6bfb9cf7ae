// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension GenPool {
  /// Adds a range of addresses (`gen_pool_add_owner`). From now on it is the first one that is
  /// searched.
  ///
  /// Any thread; takes the pool's lock and O(log chunks).
  ///
  /// - Parameters:
  ///   - base: the first address, a multiple of the granule; 0 is as good as any.
  ///   - byteCount: a multiple of the granule, at most `maximumGranuleCount` of them.
  ///   - node: the NUMA node the memory is on, if that is known.
  ///   - owner: kept alive until the chunk is removed or the pool goes.
  /// - Throws: `zeroByteCount`, `misalignedAddress`, `misalignedByteCount`, `addressOverflow`,
  ///   `chunkTooLarge`, `overlappingChunk`, `tooManyChunks`; nothing has changed then.
  @discardableResult
  public func addChunk(
    base: UInt64, byteCount: Int, node: Int? = nil, owner: (any AnyObject & Sendable)? = nil
  ) throws(GenPoolError) -> Chunk {
    func refusal(_ code: GenPoolError.Code) -> GenPoolError {
      GenPoolError(code, address: base, byteCount: byteCount)
    }
    guard byteCount > 0 else { throw refusal(.zeroByteCount) }
    guard base & UInt64(granuleByteCount - 1) == 0 else { throw refusal(.misalignedAddress) }
    guard byteCount & (granuleByteCount - 1) == 0 else { throw refusal(.misalignedByteCount) }
    guard !base.addingReportingOverflow(UInt64(byteCount) - 1).overflow else {
      throw refusal(.addressOverflow)
    }
    let granuleCount = byteCount &>> granuleShift
    guard granuleCount <= Self.maximumGranuleCount else { throw refusal(.chunkTooLarge) }
    let pool = pool
    return try pool.withRegistry { registry throws(GenPoolError) in
      guard !pool.overlaps(base: base, byteCount: byteCount) else {
        throw refusal(.overlappingChunk)
      }
      guard !pool.byteCount.addingReportingOverflow(byteCount).overflow else {
        throw refusal(.addressOverflow)
      }
      let generation = generations.add(1, ordering: .relaxed).oldValue
      let slot = try pool.claimSlot(for: granuleCount, &registry)
      let record = pool.record(slot)
      record.describe(
        base: base, granuleCount: granuleCount, node: node.map { Int32(clamping: $0) } ?? -1,
        generation: generation)
      registry.owners[slot] = owner
      pool.link(record, height: registry.height())
      pool.account(byteCount: byteCount, chunkCount: 1)
      pool.publish(record, granuleCount: granuleCount)
      return Chunk(record, generation: generation)
    }
  }

  /// Removes a chunk of which nothing is allocated. Its owner is released, its handles become
  /// stale.
  ///
  /// Any thread; takes the pool's lock, and for its duration all granules of the chunk.
  ///
  /// - Throws: `staleChunk`, `chunkInUse`; the chunk is as it was then.
  public func removeChunk(_ chunk: Chunk) throws(GenPoolError) {
    let pool = pool
    let record = chunk.record
    // Keeps the owner's deinit out of the lock.
    let owner = try pool.withRegistry { registry throws(GenPoolError) in
      guard record.belongs(to: pool), chunk.isLive else { throw GenPoolError(.staleChunk) }
      let granuleCount = record.granuleCount
      guard pool.take(record, first: 0, count: granuleCount) else {
        let taken = granuleCount - record.freeGranuleCount
        throw GenPoolError(
          .chunkInUse, address: record.base, byteCount: taken &<< pool.granuleShift)
      }
      record.retire()
      pool.forget(record)
      pool.unlink(record)
      pool.account(byteCount: -(granuleCount &<< pool.granuleShift), chunkCount: -1)
      registry.freeSlots[record.leafCapacity.logarithm].append(record.slot)
      return registry.owners.removeValue(forKey: record.slot)
    }
    _ = owner
  }

  /// The chunks, newest first, as they are now.
  public var chunks: [Chunk] {
    let pool = pool
    return pool.snapshot()
  }

  /// Calls `body` for each chunk, newest first (`gen_pool_for_each_chunk`). Chunks may be added and
  /// removed meanwhile, also by `body`; it sees those that were there when the call began.
  public func forEachChunk<Failure: Error>(
    _ body: (Chunk) throws(Failure) -> Void
  ) throws(Failure) {
    for chunk in chunks { try body(chunk) }
  }

  /// The chunk in which an address lies, in O(log chunks).
  public func chunk(at address: UInt64) -> Chunk? {
    guard let record = pool.record(at: address) else { return nil }
    let generation = record.generation
    return generation == 0 ? nil : Chunk(record, generation: generation)
  }

  /// The whole range lies in one chunk (`gen_pool_has_addr`); false for 0 bytes or fewer.
  public func contains(address: UInt64, byteCount: Int) -> Bool {
    guard byteCount > 0, let record = pool.record(at: address) else { return false }
    let last = address.addingReportingOverflow(UInt64(byteCount) - 1)
    return !last.overflow && record.contains(last.partialValue, shift: granuleShift)
  }
}

extension PoolRef {
  func account(byteCount: Int, chunkCount: Int) {
    unsafe pointer.pointee.byteCount.add(byteCount, ordering: .relaxed)
    unsafe pointer.pointee.chunkCount.add(chunkCount, ordering: .relaxed)
  }

  func snapshot() -> [GenPool.Chunk] {
    var chunks: [GenPool.Chunk] = []
    for slot in (0..<slotCount).reversed() {
      let record = record(slot)
      let generation = record.generation
      if generation != 0 { chunks.append(GenPool.Chunk(record, generation: generation)) }
    }
    return chunks
  }

  /// A slot with room for the bitmap: one of a removed chunk if its room is less than four times as
  /// large, else a new one. Nothing of it is free yet.
  func claimSlot(
    for granuleCount: Int, _ registry: inout PoolState.Registry
  ) throws(GenPoolError) -> Int {
    let leafCount = ChunkBitmap.wordCount(above: granuleCount)
    for order in leafCount.logarithm...leafCount.logarithm + 1 {
      if let slot = registry.freeSlots[order].last, record(slot).leafCapacity >= leafCount {
        return registry.freeSlots[order].removeLast()
      }
    }

    let slot = slotCount
    guard slot < GenPool.maximumChunkCount else { throw GenPoolError(.tooManyChunks) }
    if slot & 4095 == 0 {
      let segment = SegmentStore.take()
      unsafe pointer.pointee.segments[slot >> 12].store(segment.raw, ordering: .releasing)
    }
    segment(slot >> 12).initializeSlot(slot & 4095, slot: slot, pool: self, leafCount: leafCount)
    unsafe pointer.pointee.slotCount.store(slot + 1, ordering: .releasing)
    return slot
  }

  /// Makes all granules of a chunk free, whose slot has none.
  func publish(_ record: RecordRef, granuleCount: Int) {
    beginUnsettled()
    let leafCount = ChunkBitmap.wordCount(above: granuleCount)
    let count1 = ChunkBitmap.wordCount(above: leafCount)
    let count2 = ChunkBitmap.wordCount(above: count1)
    record.leaves.fill(bitCount: granuleCount)
    record.level1.fill(bitCount: leafCount)
    record.level2.fill(bitCount: count1)
    record.level3.fill(bitCount: count2)
    settle(record, leaf: 0)
    endUnsettled()
    remember(record)
  }
}

extension Int {
  /// The position of the highest set bit of a positive number.
  fileprivate var logarithm: Int { Self.bitWidth - 1 - leadingZeroBitCount }
}
