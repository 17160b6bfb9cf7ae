// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// One `ChunkRecord`, by reference.
///
/// SAFETY: `pointer` is a record that `PoolState` initialised and that it keeps until the pool
/// goes; whoever holds a `RecordRef` is inside a call on that pool, or holds a `GenPool.Chunk`,
/// whose contract is that the pool outlives it.
@usableFromInline @safe struct RecordRef {
  @usableFromInline let pointer: UnsafeMutablePointer<ChunkRecord>

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutablePointer<ChunkRecord>) { unsafe self.pointer = pointer }

  @inlinable @inline(__always) var leaves: BitmapWords { unsafe pointer.pointee.leaves }
  @inlinable @inline(__always) var level1: BitmapWords { unsafe pointer.pointee.level1 }
  @inline(__always) var level2: BitmapWords { unsafe pointer.pointee.level2 }
  @inline(__always) var slot: Int { Int(unsafe pointer.pointee.slot) }
  @inline(__always) var leafCapacity: Int { Int(unsafe pointer.pointee.leafCapacity) }

  /// 64^4 granules to a bit of level 3's parent: one word for chunks up to that size.
  var level3Count: Int { (leafCapacity + (1 << 18) - 1) >> 18 }
  var level3: BitmapWords { level2.advanced(by: -level3Count) }

  @inlinable @inline(__always) var generation: UInt64 {
    unsafe pointer.pointee.generation.load(ordering: .acquiring)
  }
  @inline(__always) var base: UInt64 { unsafe pointer.pointee.base.load(ordering: .relaxed) }
  @inlinable @inline(__always) var granuleCount: Int {
    Int(unsafe pointer.pointee.granuleCount.load(ordering: .relaxed))
  }
  var node: Int32 { unsafe pointer.pointee.node.load(ordering: .relaxed) }

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

  /// The pool of a record that a handle names.
  @inline(__always) var pool: PoolRef {
    guard let pool = unsafe pointer.pointee.pool else {
      preconditionFailure("DevmemGenpool: a handle of the empty record")
    }
    return unsafe PoolRef(pool)
  }

  /// The record belongs to this pool.
  @inlinable @inline(__always)
  func belongs(to pool: PoolRef) -> Bool { unsafe pointer.pointee.pool == pool.pointer }

  /// The same record.
  func isSame(as other: RecordRef) -> Bool { unsafe pointer == other.pointer }

  /// Publishes the facts of a new chunk. Under the registry's lock, before its first free bit.
  func describe(base: UInt64, granuleCount: Int, node: Int32, generation: UInt64) {
    unsafe pointer.pointee.base.store(base, ordering: .relaxed)
    unsafe pointer.pointee.granuleCount.store(UInt32(granuleCount), ordering: .relaxed)
    unsafe pointer.pointee.node.store(node, ordering: .relaxed)
    unsafe pointer.pointee.generation.store(generation, ordering: .releasing)
  }

  /// Makes every handle of the chunk stale.
  func retire() { unsafe pointer.pointee.generation.store(0, ordering: .releasing) }
}
