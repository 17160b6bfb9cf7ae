// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// One `ChunkRecord`, by reference.
///
/// SAFETY: `pointer` is a record that a `ChunkSegment` initialised and that is memory for ever (or
/// a pool's `nothing`, which no handle names). The bitmap is for calls on the record's pool alone;
/// a `GenPool.Chunk` reads atomics, and believes them if its generation is there before and after.
@usableFromInline @safe struct RecordRef {
  @usableFromInline let pointer: UnsafeMutablePointer<ChunkRecord>

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutablePointer<ChunkRecord>) { unsafe self.pointer = pointer }

  @inlinable @inline(__always) var leaves: BitmapWords { unsafe pointer.pointee.leaves }
  @inlinable @inline(__always) var level1: BitmapWords { unsafe pointer.pointee.level1 }
  @inline(__always) var level2: BitmapWords { unsafe pointer.pointee.level2 }
  @inline(__always) var slot: Int {
    Int(unsafe pointer.pointee.slot.load(ordering: .relaxed))
  }
  @inline(__always) var leafCapacity: Int { Int(unsafe pointer.pointee.leafCapacity) }

  /// 64^4 granules to a bit of level 3's parent: one word for chunks up to that size.
  var level3Count: Int { (leafCapacity + (1 << 18) - 1) >> 18 }
  var level3: BitmapWords { level2.advanced(by: -level3Count) }

  @inlinable @inline(__always) var generation: UInt64 {
    unsafe pointer.pointee.generation.load(ordering: .acquiring)
  }
  @inline(__always) var base: UInt64 { unsafe pointer.pointee.base.load(ordering: .acquiring) }
  @inlinable @inline(__always) var granuleCount: Int {
    Int(unsafe pointer.pointee.granuleCount.load(ordering: .acquiring))
  }
  var node: Int32 { unsafe pointer.pointee.node.load(ordering: .acquiring) }
  @inline(__always) var granuleShift: Int {
    Int(unsafe pointer.pointee.granuleShift.load(ordering: .acquiring))
  }

  @inlinable @inline(__always) var hint: Int {
    Int(unsafe pointer.pointee.hint.load(ordering: .relaxed))
  }

  /// Remembers where something was found; written only when it changes, to keep the line shared.
  @inline(__always)
  func remember(_ word: Int) {
    if hint != word { unsafe pointer.pointee.hint.store(UInt32(word), ordering: .relaxed) }
  }

  func next(_ level: Int) -> UInt32 {
    unsafe pointer.pointee.next[level].load(ordering: .acquiring)
  }

  func setNext(_ level: Int, _ link: UInt32) {
    unsafe pointer.pointee.next[level].store(link, ordering: .releasing)
  }

  /// The pool of a record, in a call on that pool.
  @inline(__always) var pool: PoolRef {
    guard let pool = unsafe pointer.pointee.pool.load(ordering: .relaxed) else {
      preconditionFailure("DevmemGenpool: a record without a pool")
    }
    return unsafe PoolRef(pool)
  }

  /// Makes a record of no pool one of `pool`.
  func adopt(_ pool: PoolRef, slot: Int) {
    unsafe pointer.pointee.slot.store(UInt32(slot), ordering: .releasing)
    unsafe pointer.pointee.granuleShift.store(UInt32(pool.granuleShift), ordering: .releasing)
    unsafe pointer.pointee.pool.store(pool.pointer, ordering: .releasing)
  }

  /// Makes it a record of no pool. Every handle of it is stale from here on.
  func abandon() {
    retire()
    unsafe pointer.pointee.pool.store(nil, ordering: .releasing)
  }

  /// Gives a record of no pool what `ChunkRecord.init` gives a new one.
  func reuse(_ bitmap: ChunkBitmap) {
    unsafe pointer.pointee.leaves = bitmap.leaves
    unsafe pointer.pointee.level1 = bitmap.level1
    unsafe pointer.pointee.level2 = bitmap.level2
    unsafe pointer.pointee.leafCapacity = UInt32(bitmap.leafCapacity)
    unsafe pointer.pointee.hint.store(0, ordering: .relaxed)
    for level in 0..<5 { setNext(level, 0) }
  }

  /// The record belongs to this pool.
  @inlinable @inline(__always)
  func belongs(to pool: PoolRef) -> Bool {
    // As numbers: comparing with an optional tests for nil first, two instructions on each path.
    unsafe UInt(bitPattern: pointer.pointee.pool.load(ordering: .acquiring))
      == UInt(bitPattern: pool.pointer)
  }

  /// The same record.
  func isSame(as other: RecordRef) -> Bool { unsafe pointer == other.pointer }

  /// Publishes the facts of a new chunk. Under the registry's lock, before its first free bit.
  func describe(base: UInt64, granuleCount: Int, node: Int32, generation: UInt64) {
    // Releasing: who reads one of them finds the old generation gone.
    unsafe pointer.pointee.base.store(base, ordering: .releasing)
    unsafe pointer.pointee.granuleCount.store(UInt32(granuleCount), ordering: .releasing)
    unsafe pointer.pointee.node.store(node, ordering: .releasing)
    unsafe pointer.pointee.generation.store(generation, ordering: .releasing)
  }

  /// Makes every handle of the chunk stale.
  func retire() { unsafe pointer.pointee.generation.store(0, ordering: .releasing) }
}
