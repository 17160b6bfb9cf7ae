// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What the pool knows of one chunk (`struct gen_pool_chunk`). Lives in a `ChunkSegment` and never
/// moves: a thread that scans a chunk while another removes it reads old numbers. After a removal
/// the slot may get a new chunk of no more leaf words; what is no `Atomic` stays as it is for all
/// chunks of the slot.
///
/// Records are memory for ever (see `SegmentStore`): a `GenPool.Chunk` may outlive its pool, and
/// reads atomics of the record then, whose generation says that the chunk is no more.
///
/// First the 64 bytes that every operation reads and only adding and removing writes.
///
/// SAFETY: `pool` is only compared. `leaves`, `level1` and `level2` point into the record's own
/// `ChunkBitmap` memory, which ends with the pool; they are written when no pool has the record,
/// and read only by a call on the pool that `pool` names.
@usableFromInline @safe struct ChunkRecord: ~Copyable {
  /// One bit per granule, set = free.
  @usableFromInline var leaves: BitmapWords
  /// One bit per word of `leaves`; a hint, see `PoolRef.settle`.
  @usableFromInline var level1: BitmapWords
  /// One bit per word of `level1`. The words of level 3 lie just before.
  var level2: BitmapWords
  /// Unique in the process; 0 while the slot holds no chunk.
  @usableFromInline let generation: Atomic<UInt64>
  /// The pool, for comparing; null between two pools.
  @usableFromInline let pool: Atomic<UnsafeMutablePointer<PoolState>?>
  let base: Atomic<UInt64>
  @usableFromInline let granuleCount: Atomic<UInt32>
  var leafCapacity: UInt32
  let slot: Atomic<UInt32>
  /// NUMA node, -1 = none.
  let node: Atomic<Int32>

  // Written on the way.

  /// The leaf word in which the last granule was found.
  @usableFromInline let hint: Atomic<UInt32>
  /// Next in address order, level by level: slot + 1, 0 = end. See `PoolRef.record(at:)`.
  let next: InlineArray<5, Atomic<UInt32>>
  /// The pool's, so that a handle knows addresses without the pool.
  let granuleShift: Atomic<UInt32>

  init(bitmap: ChunkBitmap) {
    leaves = bitmap.leaves
    level1 = bitmap.level1
    level2 = bitmap.level2
    generation = Atomic(0)
    unsafe pool = Atomic(nil)
    base = Atomic(0)
    granuleCount = Atomic(0)
    leafCapacity = UInt32(bitmap.leafCapacity)
    slot = Atomic(0)
    node = Atomic(-1)
    hint = Atomic(0)
    next = InlineArray { _ in Atomic(0) }
    granuleShift = Atomic(0)
  }
}

/// The shape of one chunk's words: level 3, level 2, level 1 and the leaves, one behind the other.
/// Four levels always, even for one granule: a search then takes the same number of instructions at
/// 64 MiB and at 64 GiB (of 4 KiB granules), and the three words more cost 24 bytes. A chunk of
/// more than 64^4 granules has several words at level 3, which are searched one by one.
struct ChunkBitmap {
  let leafCapacity: Int
  private let words: BitmapWords

  init(leafCapacity: Int, at words: BitmapWords) {
    self.leafCapacity = leafCapacity
    self.words = words
  }

  /// Words of the level `above` a level of `count` words.
  static func wordCount(above count: Int) -> Int { (count + 63) >> 6 }

  /// Bytes of all levels together.
  static func byteCount(leafCapacity: Int) -> Int {
    let count1 = wordCount(above: leafCapacity)
    let count2 = wordCount(above: count1)
    return (leafCapacity + count1 + count2 + wordCount(above: count2)) * 8
  }

  private var level1Count: Int { Self.wordCount(above: leafCapacity) }
  private var level2Count: Int { Self.wordCount(above: level1Count) }
  private var level3Count: Int { Self.wordCount(above: level2Count) }

  var level3: BitmapWords { words }
  var level2: BitmapWords { words.advanced(by: level3Count) }
  var level1: BitmapWords { words.advanced(by: level3Count + level2Count) }
  var leaves: BitmapWords { words.advanced(by: level3Count + level2Count + level1Count) }

  /// Makes raw words into a bitmap in which nothing is free.
  func initialize() {
    words.initialize(count: level3Count + level2Count + level1Count + leafCapacity, to: 0)
  }
}
