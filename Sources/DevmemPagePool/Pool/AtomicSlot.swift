// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A pointer into the cache, or 0, or what is above every pointer, that others may read while one
/// thread writes it.
///
/// `Atomic<UnsafeMutablePointer>` tests every load for nil, which made an allocation and a return
/// six longer than they are now (callgrind, `fast_path`).
@usableFromInline
@safe
struct AtomicSlot: ~Copyable {
  @usableFromInline typealias Slot = UnsafeMutablePointer<RecordReference>

  // SAFETY: the bits are those of a Slot, or 0, or all ones: init, store and publish take nothing
  // else, and the last two are compared, never followed.
  @usableFromInline let bits: Atomic<UInt>

  init(_ slot: Slot) { bits = Atomic(UInt(bitPattern: slot)) }

  /// The slot; not to be called where it may be 0.
  @inlinable
  func load() -> Slot {
    unsafe Slot(bitPattern: bits.load(ordering: .relaxed)).unsafelyUnwrapped
  }

  @inlinable
  func store(_ slot: Slot) { bits.store(UInt(bitPattern: slot), ordering: .relaxed) }

  /// Stores so that whoever reads it with `acquire` sees what was written before.
  @inlinable
  func publish(_ slot: Slot) { bits.store(UInt(bitPattern: slot), ordering: .releasing) }

  @inlinable
  func storeNull() { bits.store(0, ordering: .relaxed) }

  func publishNull() { bits.store(0, ordering: .releasing) }

  /// Stores what no slot is above.
  func publishEnd() { bits.store(.max, ordering: .releasing) }

  /// Whether the slot lies before this one. 0 is above nothing.
  @inlinable
  func isAbove(_ slot: Slot) -> Bool {
    UInt(bitPattern: slot) < bits.load(ordering: .relaxed)
  }

  /// Whether the slot lies behind this one.
  @inlinable
  func isBelow(_ slot: Slot) -> Bool {
    bits.load(ordering: .relaxed) < UInt(bitPattern: slot)
  }

  @inlinable
  func isAtLeast(_ slot: Slot) -> Bool {
    UInt(bitPattern: slot) <= bits.load(ordering: .relaxed)
  }

  func equals(_ slot: Slot) -> Bool { bits.load(ordering: .relaxed) == UInt(bitPattern: slot) }

  @inlinable
  var isNull: Bool { bits.load(ordering: .acquiring) == 0 }

  /// The slot, or nil for 0, with what was written before it was published.
  func acquire() -> Slot? { unsafe Slot(bitPattern: bits.load(ordering: .acquiring)) }
}
