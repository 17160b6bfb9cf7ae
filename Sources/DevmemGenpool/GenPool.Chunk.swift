// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension GenPool {
  /// A handle of one chunk of a pool: two words, copied freely, no reference count.
  ///
  /// Pool functions refuse the handle of a removed chunk and of another pool. The handle does not
  /// keep the pool alive and must not be used once the pool is gone. Its properties are those of
  /// the chunk until it is removed; from then on they are 0 or nil.
  ///
  /// SAFETY: `record` points to a record that the pool keeps until its own end, removed or not.
  @safe public struct Chunk: @unchecked Sendable {
    @usableFromInline let record: RecordRef
    /// Of the chunk that the record held when the handle was made.
    @usableFromInline let generation: UInt64

    @inlinable @inline(__always)
    init(_ record: RecordRef, generation: UInt64) {
      self.record = record
      self.generation = generation
    }
  }
}

extension GenPool.Chunk {
  /// False once the chunk was removed.
  public var isLive: Bool { record.generation == generation }

  /// A small number that no other chunk of the pool has meanwhile: for looking up what a
  /// caller knows of the chunk. The first chunk has 0; the slot of a removed chunk is used again.
  public var slot: Int { record.slot }

  /// The address of the first granule.
  public var base: UInt64 { isLive ? record.base : 0 }

  /// How many granules the chunk has.
  public var granuleCount: Int { isLive ? record.granuleCount : 0 }

  /// The size in bytes.
  public var byteCount: Int { granuleCount &<< record.pool.granuleShift }

  /// The NUMA node that was given for the chunk.
  public var node: Int? {
    let node = record.node
    return isLive && node >= 0 ? Int(node) : nil
  }

  /// The owner that was given for the chunk (`chunk->owner`). Takes the pool's lock: look it up
  /// once, or keep a table by `slot`, where speed counts.
  public var owner: (any AnyObject & Sendable)? {
    record.pool.withRegistry { isLive ? $0.owners[slot] : nil }
  }

  /// Free bytes of this chunk (`chunk->avail`), counted when asked for: exact while nobody
  /// allocates or frees.
  public var availableByteCount: Int {
    isLive ? record.freeGranuleCount &<< record.pool.granuleShift : 0
  }

  /// The address of a granule of this chunk; no check.
  @inline(__always)
  public func address(ofGranule granule: Int) -> UInt64 {
    record.base &+ UInt64(truncatingIfNeeded: granule) &<< UInt64(record.pool.granuleShift)
  }
}

extension GenPool.Chunk: Hashable {
  /// The same chunk of the same pool.
  public static func == (left: Self, right: Self) -> Bool { left.generation == right.generation }

  /// Feeds what `==` compares.
  public func hash(into hasher: inout Hasher) { hasher.combine(generation) }
}
