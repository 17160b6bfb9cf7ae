// SPDX-License-Identifier: Apache-2.0

import Synchronization

// The address index: a skip list in order of base addresses, linked by slot numbers. Writers hold
// the registry's lock; readers hold nothing. A removed record keeps its own links, so that a reader
// which stands on it finds the way on; once its slot is used again those links change, and the
// reader may end up anywhere. That is what `indexVersion` is for: a reader that found nothing looks
// again if the version moved.

extension PoolRef {
  private static var levelCount: Int { 5 }

  private var indexVersion: UInt64 {
    unsafe pointer.pointee.indexVersion.load(ordering: .sequentiallyConsistent)
  }

  private func link(after record: RecordRef?, _ level: Int) -> UInt32 {
    guard let record else {
      return unsafe pointer.pointee.heads[level].load(ordering: .acquiring)
    }
    return record.next(level)
  }

  private func setLink(after record: RecordRef?, _ level: Int, _ link: UInt32) {
    guard let record else {
      unsafe pointer.pointee.heads[level].store(link, ordering: .releasing)
      return
    }
    record.setNext(level, link)
  }

  /// The last record on `level`, beginning behind `start`, whose base is at or below `address`
  /// (below it, if `strictly`).
  private func last(
    notAbove address: UInt64, strictly: Bool = false, from start: RecordRef?, level: Int
  ) -> RecordRef? {
    var found = start
    while true {
      let link = link(after: found, level)
      guard link != 0 else { return found }
      let next = record(Int(link) - 1)
      let base = next.base
      guard base < address || (base == address && !strictly) else { return found }
      found = next
    }
  }

  /// The chunk in which the address lies.
  func record(at address: UInt64) -> RecordRef? {
    while true {
      let version = indexVersion
      var found: RecordRef?
      for level in (0..<Self.levelCount).reversed() {
        found = last(notAbove: address, from: found, level: level)
      }
      if let found, found.generation != 0, found.contains(address, shift: granuleShift) {
        return found
      }
      if indexVersion == version { return nil }
    }
  }

  /// A chunk that shares an address with `base..<base + byteCount`. Under the registry's lock.
  func overlaps(base: UInt64, byteCount: Int) -> Bool {
    let last = base + (UInt64(byteCount) - 1)
    var found: RecordRef?
    for level in (0..<Self.levelCount).reversed() {
      found = self.last(notAbove: last, from: found, level: level)
    }
    guard let found else { return false }
    return found.base >= base || found.contains(base, shift: granuleShift)
  }

  /// Makes the record findable. Under the registry's lock; its base is set.
  func link(_ record: RecordRef, height: Int) {
    let base = record.base
    var before: RecordRef?
    var path = InlineArray<5, RecordRef?>(repeating: nil)
    for level in (0..<Self.levelCount).reversed() {
      before = last(notAbove: base, strictly: true, from: before, level: level)
      path[level] = before
    }
    // From the bottom: a reader that finds it above finds the way on below.
    for level in 0..<height {
      record.setNext(level, link(after: path[level], level))
      setLink(after: path[level], level, UInt32(record.slot + 1))
    }
  }

  /// Takes the record out of the index. Under the registry's lock.
  func unlink(_ record: RecordRef) {
    let base = record.base
    var before: RecordRef?
    for level in (0..<Self.levelCount).reversed() {
      before = last(notAbove: base, strictly: true, from: before, level: level)
      if link(after: before, level) == UInt32(record.slot + 1) {
        setLink(after: before, level, record.next(level))
      }
    }
    unsafe pointer.pointee.indexVersion.add(1, ordering: .sequentiallyConsistent)
  }
}

extension RecordRef {
  /// The address lies in the chunk.
  func contains(_ address: UInt64, shift: Int) -> Bool {
    let base = base
    return address >= base && (address - base) &>> UInt64(shift) < UInt64(granuleCount)
  }
}
