// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension GenPool {
  /// A handle of one chunk of a pool: two words, copied freely, no reference count.
  ///
  /// Pool functions refuse the handle of a removed chunk and of another pool. The handle does not
  /// keep the pool alive. Its properties are those of the chunk until it is removed or the pool
  /// goes; from then on they are 0 or nil. What is allocated, and the owner, the pool knows:
  /// ``GenPool/availableByteCount(of:)``, ``GenPool/owner(of:)``.
  ///
  /// SAFETY: `record` is memory for ever, and no two chunks of the process have one generation. The
  /// handle reads atomics alone, and only what it read while the generation stood there counts.
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
  /// False once the chunk was removed or the pool has gone.
  public var isLive: Bool { record.generation == generation }

  /// A small number that no other chunk of the pool has meanwhile: for looking up what a caller
  /// knows of the chunk. The first chunk has 0; the slot of a removed chunk is used again. Once the
  /// pool has gone it may be any slot's.
  public var slot: Int { record.slot }

  /// The address of the first granule.
  public var base: UInt64 {
    let base = record.base
    return isLive ? base : 0
  }

  /// How many granules the chunk has.
  public var granuleCount: Int {
    let count = record.granuleCount
    return isLive ? count : 0
  }

  /// The size in bytes.
  public var byteCount: Int {
    let shift = record.granuleShift
    return granuleCount &<< shift
  }

  /// The NUMA node that was given for the chunk.
  public var node: Int? {
    let node = record.node
    return isLive && node >= 0 ? Int(node) : nil
  }

  /// The address of a granule of this chunk; no check, neither of the number nor of the chunk's
  /// being there.
  @inline(__always)
  public func address(ofGranule granule: Int) -> UInt64 {
    record.base &+ UInt64(truncatingIfNeeded: granule) &<< UInt64(record.granuleShift)
  }
}

extension GenPool {
  /// The owner that was given for the chunk (`chunk->owner`); nil for a chunk that is gone or of
  /// another pool. Takes the pool's lock: look it up once, or keep a table by `slot`, where speed
  /// counts.
  public func owner(of chunk: Chunk) -> (any AnyObject & Sendable)? {
    let pool = pool
    return pool.withRegistry { registry in
      chunk.record.belongs(to: pool) && chunk.isLive ? registry.owners[chunk.slot] : nil
    }
  }

  /// Free bytes of a chunk (`chunk->avail`), counted when asked for: exact while nobody allocates
  /// or frees. 0 for a chunk that is gone or of another pool.
  public func availableByteCount(of chunk: Chunk) -> Int {
    chunk.record.belongs(to: pool) && chunk.isLive
      ? chunk.record.freeGranuleCount &<< granuleShift : 0
  }
}

extension GenPool.Chunk: Hashable {
  /// The same chunk of the same pool.
  public static func == (left: Self, right: Self) -> Bool { left.generation == right.generation }

  /// Feeds what `==` compares.
  public func hash(into hasher: inout Hasher) { hasher.combine(generation) }
}
