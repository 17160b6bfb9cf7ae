// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemPagePool
import Synchronization

/// Ties an allocator to a slab: which IOVs of the slab are out.
///
/// Chunk N of the allocator is area N of the slab, granule M of the chunk is IOV M of the area. So
/// a batch of 64 buffers is one word of the allocator's bitmap, and both ways are arithmetic.
/// Shared by the providers; lock-free, any thread.
final class IOVAllocator: Sendable {
  let pool: GenPool
  let slab: NetIOVSlab
  let chunks: [GenPool.Chunk]
  /// Number of places made so far.
  fileprivate let placeCount = Atomic<UInt64>(0)

  /// - Parameter chunks: one chunk per area of the slab, in the same order, in an otherwise empty
  ///   allocator whose granule is the IOV size.
  init(pool: GenPool, chunks: [GenPool.Chunk], slab: NetIOVSlab) {
    precondition(chunks.count == slab.areaCount, "one chunk per area")
    for (position, chunk) in chunks.enumerated() {
      precondition(
        chunk.slot == position && chunk.granuleCount == Int(slab.area(at: position).iovCount),
        "chunks and areas in the same order, of the same size")
    }
    self.pool = pool
    self.chunks = chunks
    self.slab = slab
  }

  /// Appends free IOVs until `span` is full or none is left.
  /// - Parameter place: where the caller looks first.
  func refill(_ span: inout OutputSpan<NetIOVReference>, from place: borrowing Place) {
    while !span.isFull, let batch = nextBatch(min(64, span.freeCapacity), from: place) {
      let first = Int(slab.area(at: batch.chunk.slot).firstIndex) + batch.firstGranule
      var mask = batch.mask
      while mask != 0 {
        span.append(slab[first + mask.trailingZeroBitCount])
        mask &= mask - 1
      }
    }
  }

  private func nextBatch(_ count: Int, from place: borrowing Place) -> GenPool.Batch? {
    guard let batch = batch(near: place, count) ?? pool.allocateBatch(upTo: count) else {
      return nil
    }
    place.move(to: batch.chunk.slot, batch.firstGranule)
    return batch
  }

  /// From the place, or the start of the chunks behind it: physically scattered memory has chunks
  /// of a page or two.
  private func batch(near place: borrowing Place, _ count: Int) -> GenPool.Batch? {
    var (chunk, granule) = place.value
    for _ in 0..<min(Self.nearbyChunkCount, chunks.count) {
      if let batch = pool.allocateBatch(upTo: count, in: chunks[chunk], near: granule) {
        return batch
      }
      chunk = chunk + 1 < chunks.count ? chunk + 1 : 0
      granule = 0
    }
    return nil
  }

  /// How many chunks to look at before asking the allocator, which looks at a word that all threads
  /// share.
  private static var nearbyChunkCount: Int { 8 }

  /// Takes IOVs back. Neighbours in the same bitmap word go back in one operation.
  func release(_ iovs: Span<NetIOVReference>) {
    var chunk = 0
    var word = 0
    var mask: UInt64 = 0
    for position in iovs.indices {
      let iov = iovs[position]
      let place = slab.place(of: iov)
      let index = place.indexInArea
      let bit = UInt64(1) << UInt64(index & 63)
      let itsChunk = Int(truncatingIfNeeded: place.context)
      if mask != 0, itsChunk == chunk, index >> 6 == word, mask & bit == 0 {
        mask |= bit
      } else {
        free(chunk: chunk, word: word, mask: mask)
        (chunk, word, mask) = (itsChunk, index >> 6, bit)
      }
    }
    free(chunk: chunk, word: word, mask: mask)
  }

  private func free(chunk: Int, word: Int, mask: UInt64) {
    guard mask != 0 else { return }
    do {
      try pool.free(GenPool.Batch(chunk: chunks[chunk], firstGranule: word << 6, mask: mask))
    } catch {
      // Only a pool that returns what it was never given gets here.
      preconditionFailure("an IOV was released that was not out: \(error)")
    }
  }
}

extension IOVAllocator {
  /// Where one provider takes IOVs from: a chunk and a granule of it, each provider somewhere else,
  /// so that pools over one binding do not meet in the same words. Any thread; written only when it
  /// moves.
  struct Place: ~Copyable {
    private let packed: Atomic<UInt64>

    /// A place that is far from those made before and after.
    init(in allocator: IOVAllocator) {
      // 2^32 divided by the golden ratio: successive numbers spread evenly over the IOVs.
      let number = allocator.placeCount.add(1, ordering: .relaxed).oldValue
      let fraction = UInt64(UInt32(truncatingIfNeeded: number) &* 0x9E37_79B9)
      let iov = allocator.slab[Int(fraction * UInt64(allocator.slab.iovCount) >> 32)]
      packed = Atomic(
        allocator.slab.area(of: iov).context << 32 | UInt64(allocator.slab.indexInArea(of: iov)))
    }

    var value: (chunk: Int, granule: Int) {
      let packed = packed.load(ordering: .relaxed)
      return (Int(packed >> 32), Int(packed & 0xFFFF_FFFF))
    }

    func move(to chunk: Int, _ granule: Int) {
      let new = UInt64(chunk) << 32 | UInt64(granule)
      if packed.load(ordering: .relaxed) != new { packed.store(new, ordering: .relaxed) }
    }
  }
}
