// SPDX-License-Identifier: Apache-2.0

import Synchronization

// The summaries, and why nothing gets lost.
//
//   slot root ─► slot words ─► segment.top ─► segment.slots ─► level 3 ─► level 2 ─► level 1 ─►
//   leaves
//
// A set bit says that the word (or chunk) below *may* hold something free, a clear one that it does
// not. Taking the last granule of a word leaves the bits above as they are; whoever finds a word
// empty under a set bit clears the bit (`settle`). So a granule that goes out and in all day costs
// no summary traffic, at any fill.
//
// Both sides write first and read then: free sets the leaf bit, then looks at the level 1 bit;
// settle clears a bit, then looks at the word below once more. In the one order of all sequentially
// consistent operations one of the two comes second and sees the other, so the bit ends up set.
// Level by level upwards the same holds, because a bit of level k is set only inside `settle`,
// which then looks at level k + 1.
//
// In the middle of a `settle`, or of a claim over several words that may yet be undone, the summary
// may deny something that is free. `unsettled` counts those, and an allocation gives up only if
// none was in progress and none began between its first look and its last.

extension PoolRef {
  /// The state of `unsettled`: low 16 bits in progress, the rest ever begun.
  var unsettled: UInt64 { unsafe pointer.pointee.unsettled.load(ordering: .sequentiallyConsistent) }

  /// Nothing was unsettled between the reading of `before` and now.
  func stayedSettled(since before: UInt64) -> Bool {
    before & 0xFFFF == 0 && unsettled == before
  }

  func beginUnsettled() {
    unsafe pointer.pointee.unsettled.add(0x1_0001, ordering: .sequentiallyConsistent)
  }

  func endUnsettled() {
    unsafe pointer.pointee.unsettled.subtract(1, ordering: .sequentiallyConsistent)
  }

  var slotRoot: UInt64 { unsafe pointer.pointee.slotRoot.load(ordering: .sequentiallyConsistent) }

  func slotWord(_ index: Int) -> UInt64 {
    unsafe pointer.pointee.slotWords[index].load(ordering: .sequentiallyConsistent)
  }

  /// Makes the whole path above leaf word `leaf` of `record` agree with what is below it: clears
  /// what turns out to be empty, then sets what turns out not to be.
  @inline(never)
  func settle(_ record: RecordRef, leaf: Int) {
    beginUnsettled()
    let leaf1 = leaf >> 6
    let leaf2 = leaf >> 12
    let leaf3 = leaf >> 18
    let level3 = record.level3
    if record.leaves.load(leaf) == 0 { record.level1.drop(leaf & 63, at: leaf1) }
    if record.level1.load(leaf1) == 0 { record.level2.drop(leaf1 & 63, at: leaf2) }
    if record.level2.load(leaf2) == 0 { level3.drop(leaf2 & 63, at: leaf3) }
    if record.isExhausted { segment(record.slot >> 12).dropSlot(record.slot & 4095) }
    lowerSlots(above: record.slot)

    if record.leaves.load(leaf) != 0 { record.level1.ensure(leaf & 63, at: leaf1) }
    if record.level1.load(leaf1) != 0 { record.level2.ensure(leaf1 & 63, at: leaf2) }
    if record.level2.load(leaf2) != 0 { level3.ensure(leaf2 & 63, at: leaf3) }
    if !record.isExhausted { segment(record.slot >> 12).ensureSlot(record.slot & 4095) }
    raiseSlots(above: record.slot)
    endUnsettled()
  }

  /// The same for the levels over slots alone, from the word of `slot` upwards.
  @inline(never)
  func settleSlots(above slot: Int) {
    beginUnsettled()
    lowerSlots(above: slot)
    raiseSlots(above: slot)
    endUnsettled()
  }

  private func lowerSlots(above slot: Int) {
    let segment = segment(slot >> 12)
    let word = slot >> 6 & 63
    if segment.slots.load(word) == 0 { segment.top.drop(word, at: 0) }
    if segment.top.load(0) == 0 {
      let bit: UInt64 = 1 << UInt64(slot >> 12 & 63)
      unsafe pointer.pointee.slotWords[slot >> 18].bitwiseAnd(
        ~bit, ordering: .sequentiallyConsistent)
    }
    if slotWord(slot >> 18) == 0 {
      let bit: UInt64 = 1 << UInt64(slot >> 18)
      unsafe pointer.pointee.slotRoot.bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
    }
  }

  private func raiseSlots(above slot: Int) {
    let segment = segment(slot >> 12)
    let word = slot >> 6 & 63
    if segment.slots.load(word) != 0 { segment.top.ensure(word, at: 0) }
    if segment.top.load(0) != 0 {
      let bit: UInt64 = 1 << UInt64(slot >> 12 & 63)
      if slotWord(slot >> 18) & bit == 0 {
        unsafe pointer.pointee.slotWords[slot >> 18].bitwiseOr(
          bit, ordering: .sequentiallyConsistent)
      }
    }
    if slotWord(slot >> 18) != 0 {
      let bit: UInt64 = 1 << UInt64(slot >> 18)
      if slotRoot & bit == 0 {
        unsafe pointer.pointee.slotRoot.bitwiseOr(bit, ordering: .sequentiallyConsistent)
      }
    }
  }
}

extension ChunkSegment {
  func dropSlot(_ index: Int) { slots.drop(index & 63, at: index >> 6) }
  func ensureSlot(_ index: Int) { slots.ensure(index & 63, at: index >> 6) }
}

extension RecordRef {
  /// The chunk's summary says that nothing is free.
  var isExhausted: Bool {
    let level3 = level3
    for index in 0..<level3Count where level3.load(index) != 0 { return false }
    return true
  }
}
