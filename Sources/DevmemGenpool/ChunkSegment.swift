// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Raw memory for 4096 chunk slots and the two lower levels of the summary over slots. Only what is
/// used gets touched, so a pool of one chunk costs three pages of it.
///
/// SAFETY: `raw` is `byteCount` bytes, aligned to 128, never freed, and a pool's alone between
/// `SegmentStore.take` and `give`; the summary and `recordCount` are initialised by `init()`, a
/// slot by `initializeSlot` before anybody can learn of it, and from then on for ever.
@safe struct ChunkSegment: @unchecked Sendable {
  let raw: UnsafeMutableRawPointer

  static let slotCount = 4096
  /// 64 words with a bit per slot, then one word with a bit per such word, padded to cache lines.
  private static let summaryByteCount = 1024
  /// Two cache lines: the record, and behind it the four bitmap words of a chunk of at most 64
  /// granules.
  static let slotByteCount = 128
  private static let inlineWordOffset = 96
  private static let byteCount = summaryByteCount + slotCount * slotByteCount
  private static let recordCountOffset = 65 * 8

  init() {
    unsafe raw = .allocate(byteCount: Self.byteCount, alignment: Self.slotByteCount)
    unsafe BitmapWords(at: raw).initialize(count: 65, to: 0)
    unsafe (raw + Self.recordCountOffset).initializeMemory(as: Int.self, to: 0)
  }

  @inline(__always)
  init(at raw: UnsafeMutableRawPointer) { unsafe self.raw = raw }

  /// How many slots, from the first on, have a record, whichever pool it was made for.
  private var recordCount: Int {
    get { unsafe (raw + Self.recordCountOffset).load(as: Int.self) }
    nonmutating set { unsafe (raw + Self.recordCountOffset).storeBytes(of: newValue, as: Int.self) }
  }

  /// Ends the pool's use of the slots: no handle is good any more, and no bitmap is left.
  func reset() {
    for index in 0..<recordCount { retireSlot(index) }
    for word in 0..<65 { slots.store(0, at: word) }
  }

  /// A bit per slot: the chunk may have something free.
  var slots: BitmapWords { unsafe BitmapWords(at: raw) }
  /// One word, a bit per word of `slots`.
  var top: BitmapWords { unsafe BitmapWords(at: raw).advanced(by: 64) }

  private func slotAddress(_ index: Int) -> UnsafeMutableRawPointer {
    unsafe raw + (Self.summaryByteCount + index &* Self.slotByteCount)
  }

  /// The record of slot `index` in 0..<4096.
  func record(_ index: Int) -> RecordRef {
    unsafe RecordRef(slotAddress(index).assumingMemoryBound(to: ChunkRecord.self))
  }

  /// Makes the record of a new slot, with bitmap words in place for one leaf word, else in memory
  /// of their own. Slots are made in their order.
  func initializeSlot(_ index: Int, slot: Int, pool: PoolRef, leafCount: Int) {
    if index < recordCount {
      // A handle from an earlier pool may be reading: what it reads is stored as atomics.
      let bitmap = unsafe Self.makeBitmap(leafCount: leafCount, in: slotAddress(index))
      record(index).reuse(bitmap)
    } else {
      unsafe Self.initializeSlot(at: slotAddress(index), leafCount: leafCount)
      recordCount = index + 1
    }
    record(index).adopt(pool, slot: slot)
  }

  /// A record anywhere, of no pool, that nobody frees into.
  @discardableResult
  static func initializeSlot(
    at address: UnsafeMutableRawPointer, leafCount: Int
  ) -> UnsafeMutablePointer<ChunkRecord> {
    precondition(MemoryLayout<ChunkRecord>.size <= inlineWordOffset)
    let bitmap = unsafe makeBitmap(leafCount: leafCount, in: address)
    let record = unsafe address.bindMemory(to: ChunkRecord.self, capacity: 1)
    unsafe record.initialize(to: ChunkRecord(bitmap: bitmap))
    return unsafe record
  }

  /// Words of which none is free, in the slot at `address` if they find room there.
  private static func makeBitmap(
    leafCount: Int, in address: UnsafeMutableRawPointer
  ) -> ChunkBitmap {
    let memory: UnsafeMutableRawPointer
    if leafCount == 1 {
      unsafe memory = address + inlineWordOffset
    } else {
      unsafe memory = .allocate(
        byteCount: ChunkBitmap.byteCount(leafCapacity: leafCount), alignment: 64)
    }
    let bitmap = unsafe ChunkBitmap(leafCapacity: leafCount, at: BitmapWords(at: memory))
    bitmap.initialize()
    return bitmap
  }

  /// Frees the bitmap that `initializeSlot` made, and leaves a record of no pool.
  private func retireSlot(_ index: Int) {
    let record = record(index)
    record.abandon()
    if record.leafCapacity > 1 {
      record.level3.deallocate()
      unsafe record.pointer.pointee.leafCapacity = 0
    }
  }
}

/// Segments of pools that have gone, for those that come. A segment is never freed, because a
/// `GenPool.Chunk` that outlived its pool still points into it: there are as many as all pools
/// together had at their peak, half a mebibyte of addresses each, of which only the pages used are
/// memory.
enum SegmentStore {
  private static let idle = Mutex<[ChunkSegment]>([])

  static func take() -> ChunkSegment {
    idle.withLock { $0.popLast() } ?? ChunkSegment()
  }

  static func give(_ segment: ChunkSegment) {
    segment.reset()
    idle.withLock { $0.append(segment) }
  }
}
