// SPDX-License-Identifier: Apache-2.0

/// Finds a record from its process-wide index, among the slabs of one pool.
///
/// Nearly every pool has one slab, so the first one is tried before the others are searched.
@usableFromInline
@safe
struct SlabTable: ~Copyable {
  @usableFromInline
  @safe
  struct Entry {
    @usableFromInline var firstIndex: UInt32
    @usableFromInline var iovCount: UInt32
    @usableFromInline var records: UnsafeMutablePointer<NetIOV>
  }

  // SAFETY: `entries` is allocated in init for `count` elements and freed in deinit; the records
  // belong to slabs that the pool's core retains for longer than this table.
  private let entries: UnsafeMutablePointer<Entry>
  private let count: Int
  /// The first of `entries` once more, nearer at hand; matches no index if there is none.
  @usableFromInline let first: Entry

  deinit {
    unsafe entries.deinitialize(count: count)
    unsafe entries.deallocate()
  }

  init(_ slabs: [NetIOVSlab]) {
    count = slabs.count
    unsafe entries = .allocate(capacity: slabs.count)
    for (position, slab) in slabs.enumerated() {
      unsafe (entries + position).initialize(
        to: Entry(
          firstIndex: slab.firstIndex, iovCount: UInt32(slab.iovCount), records: slab.records))
    }
    first =
      unsafe slabs.isEmpty
      ? Entry(firstIndex: 0, iovCount: 0, records: UnsafeMutablePointer(bitPattern: 32)!)
      : entries[0]
  }

  /// The record with that index, or nil if it is of none of the pool's slabs.
  @inlinable
  @inline(__always)
  func record(at index: UInt32) -> UnsafeMutablePointer<NetIOV>? {
    let distance = index &- first.firstIndex
    if distance < first.iovCount { return unsafe first.records + Int(distance) }
    return unsafe search(index)
  }

  @usableFromInline
  @inline(never)
  func search(_ index: UInt32) -> UnsafeMutablePointer<NetIOV>? {
    for position in 0..<count {
      let distance = unsafe index &- entries[position].firstIndex
      if unsafe distance < entries[position].iovCount {
        return unsafe entries[position].records + Int(distance)
      }
    }
    return nil
  }
}
