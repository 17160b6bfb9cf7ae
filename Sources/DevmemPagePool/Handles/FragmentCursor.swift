// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The IOV that a pool cuts fragments from (`frag_page`, `frag_offset`, `frag_users`).
///
/// The pool puts many references into the record at once and counts on its own how many it has
/// given away: a fragment costs no atomic operation on the owner's side. What was not given away is
/// taken back with one subtraction when the IOV is used up. Owner thread only.
@usableFromInline
@safe
struct FragmentCursor {
  /// References put in at once: above any number of fragments (a 1 GiB IOV has 2^24 cache lines),
  /// and with room for as many shares. The kernel's BIAS_MAX is LONG_MAX / 2.
  static var bias: UInt32 { 1 << 30 }
  /// Fragments start at multiples of a cache line, so that no two share one.
  static var alignment: Int { 64 }

  // SAFETY: nil, or a record of the pool of which the cursor holds `bias - given` references.
  @usableFromInline var record: UnsafeMutablePointer<NetIOV>?
  @usableFromInline var offset = 0
  /// Where the IOV ends; 0 if there is none, and in a pool with a ledger, which cuts the long way
  /// only.
  @usableFromInline var end = 0
  @usableFromInline var given: UInt32 = 0

  /// Whether there is an IOV of which no fragment lives.
  var isIdle: Bool {
    guard let record = unsafe record else { return false }
    return unsafe record.pointee.referenceCount.load(ordering: .acquiring) == Self.bias - given
  }
}

extension PagePool.State {
  /// Stops cutting the present IOV: it goes back when its last fragment has died, or now.
  static func endFragments(_ state: Reference) {
    guard let record = unsafe state.pointee.fragments.record else { return }
    let left = unsafe FragmentCursor.bias - state.pointee.fragments.given
    unsafe state.pointee.fragments = FragmentCursor()
    unsafe Self.drop(left, of: record)
  }

  /// Begins to cut an IOV that nobody else has.
  static func beginFragments(_ record: UnsafeMutablePointer<NetIOV>, _ state: Reference) {
    unsafe record.pointee.referenceCount.store(FragmentCursor.bias, ordering: .relaxed)
    unsafe state.pointee.fragments = FragmentCursor()
    unsafe state.pointee.fragments.end = state.pointee.fragmentedByteCount
    unsafe state.pointee.fragments.record = unsafe record
  }

  /// Cuts `byteCount` bytes off the present IOV, which must have them.
  static func cut(_ byteCount: Int, _ state: Reference) -> Netmem {
    unsafe state.pointee.fragments.offset += byteCount
    unsafe state.pointee.fragments.given += 1
    return unsafe Netmem(record: state.pointee.fragments.record.unsafelyUnwrapped)
  }
}
