// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A pointer into the cache, never nil, that one thread writes and others may read.
///
/// `Atomic<UnsafeMutablePointer>` tests every load for nil: that is 6 of the 34 instructions that an
/// allocation and a return took with it (callgrind, `fast_path`).
@usableFromInline
@safe
struct AtomicSlot: ~Copyable {
  @usableFromInline typealias Slot = UnsafeMutablePointer<NetIOVReference>

  // SAFETY: the bits are always those of a Slot: init and store take nothing else.
  @usableFromInline let bits: Atomic<UInt>

  init(_ slot: Slot) { bits = Atomic(UInt(bitPattern: slot)) }

  @inlinable
  func load() -> Slot {
    unsafe Slot(bitPattern: bits.load(ordering: .relaxed)).unsafelyUnwrapped
  }

  @inlinable
  func store(_ slot: Slot) { bits.store(UInt(bitPattern: slot), ordering: .relaxed) }
}
