// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemPagePool

/// Ties an allocator to a slab: which IOVs of the slab are out.
///
/// Chunk N of the allocator is area N of the slab, granule M of the chunk is IOV M of the area. So a
/// batch of 64 buffers is one word of the allocator's bitmap, and both ways are arithmetic. Shared by
/// the providers; lock-free, any thread.
final class IOVAllocator: Sendable {
  let pool: GenPool
  let slab: NetIOVSlab
  let chunks: [GenPool.Chunk]

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
  func refill(_ span: inout OutputSpan<NetIOVReference>) {
    while !span.isFull, let batch = pool.allocateBatch(upTo: min(64, span.freeCapacity)) {
      let first = Int(slab.area(at: batch.chunk.slot).firstIndex) + batch.firstGranule
      var mask = batch.mask
      while mask != 0 {
        span.append(slab[first + mask.trailingZeroBitCount])
        mask &= mask - 1
      }
    }
  }

  /// Takes IOVs back. Neighbours in the same bitmap word go back in one operation.
  func release(_ iovs: Span<NetIOVReference>) {
    var chunk = 0
    var word = 0
    var mask: UInt64 = 0
    for position in iovs.indices {
      let iov = iovs[position]
      let index = iov.indexInArea
      let bit = UInt64(1) << UInt64(index & 63)
      let itsChunk = Int(iov.area.context)
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
