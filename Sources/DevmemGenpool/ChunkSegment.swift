// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Raw memory for 4096 chunk slots and the two lower levels of the summary over slots. Only what is
/// used gets touched, so a pool of one chunk costs three pages of it.
///
/// SAFETY: `raw` is `byteCount` bytes, aligned to 128, owned by `PoolState`; `summary` is
/// initialised by `init()`, a slot by `initializeSlot` before anybody can learn of it.
@safe struct ChunkSegment {
  let raw: UnsafeMutableRawPointer

  static let slotCount = 4096
  /// 64 words with a bit per slot, then one word with a bit per such word, padded to cache lines.
  private static let summaryByteCount = 1024
  /// Two cache lines: the record, and behind it the four bitmap words of a chunk of at most 64
  /// granules.
  static let slotByteCount = 128
  private static let inlineWordOffset = 96
  private static let byteCount = summaryByteCount + slotCount * slotByteCount

  init() {
    unsafe raw = .allocate(byteCount: Self.byteCount, alignment: Self.slotByteCount)
    unsafe BitmapWords(at: raw).initialize(count: 65, to: 0)
  }

  @inline(__always)
  init(at raw: UnsafeMutableRawPointer) { unsafe self.raw = raw }

  func deallocate() { unsafe raw.deallocate() }

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
  /// of their own. A bitmap in place needs no `deallocateBitmap`.
  func initializeSlot(_ index: Int, slot: Int, pool: PoolRef, leafCount: Int) {
    unsafe Self.initializeSlot(
      at: slotAddress(index), slot: slot, pool: pool.pointer, leafCount: leafCount)
  }

  /// The same for a slot anywhere; without a pool, for one that nobody frees into.
  @discardableResult
  static func initializeSlot(
    at address: UnsafeMutableRawPointer, slot: Int, pool: UnsafeMutablePointer<PoolState>?,
    leafCount: Int
  ) -> UnsafeMutablePointer<ChunkRecord> {
    precondition(MemoryLayout<ChunkRecord>.size <= inlineWordOffset)
    let memory: UnsafeMutableRawPointer
    if leafCount == 1 {
      unsafe memory = address + inlineWordOffset
    } else {
      unsafe memory = .allocate(
        byteCount: ChunkBitmap.byteCount(leafCapacity: leafCount), alignment: 64)
    }
    let bitmap = unsafe ChunkBitmap(leafCapacity: leafCount, at: BitmapWords(at: memory))
    bitmap.initialize()
    let record = unsafe address.bindMemory(to: ChunkRecord.self, capacity: 1)
    unsafe record.initialize(to: ChunkRecord(slot: slot, pool: pool, bitmap: bitmap))
    return unsafe record
  }

  /// Frees what `initializeSlot` allocated.
  func deinitializeSlot(_ index: Int) {
    let record = record(index)
    if record.leafCapacity > 1 { record.level3.deallocate() }
    unsafe record.pointer.deinitialize(count: 1)
  }
}
