// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Carries values from one thread to one other, first in, first out: the least that a hand-over can
/// cost, so that what is measured is the pool.
@safe
final class HandoverRing<Element: ~Copyable & Sendable>: @unchecked Sendable {
  // SAFETY: the slots from `taken` up to `put` (modulo capacity) are initialised. Only the giver
  // writes `put`, only the taker `taken`, each after it is done with the slot.
  private let slots: UnsafeMutablePointer<Element>
  private let mask: Int
  private let ends: UnsafeMutablePointer<Ends>

  private struct Ends: ~Copyable {
    let put = Atomic<Int>(0)
    /// What the giver last saw of `taken`.
    let seenTaken = Atomic<Int>(0)
    private let gap = InlineArray<16, UInt64>(repeating: 0)
    let taken = Atomic<Int>(0)
    /// What the taker last saw of `put`.
    let seenPut = Atomic<Int>(0)
    private let tail = InlineArray<16, UInt64>(repeating: 0)
  }

  deinit {
    while pop() != nil {}
    unsafe slots.deallocate()
    unsafe ends.deinitialize(count: 1)
    unsafe ends.deallocate()
  }

  /// - Parameter capacity: a power of two.
  init(capacity: Int) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a power of two")
    mask = capacity - 1
    unsafe slots = .allocate(capacity: capacity)
    unsafe ends = .allocate(capacity: 1)
    unsafe ends.initialize(to: Ends())
  }

  /// Whether there is room for one more. Giver only.
  var hasRoom: Bool {
    let put = unsafe ends.pointee.put.load(ordering: .relaxed)
    if unsafe put - ends.pointee.seenTaken.load(ordering: .relaxed) <= mask { return true }
    let taken = unsafe ends.pointee.taken.load(ordering: .acquiring)
    unsafe ends.pointee.seenTaken.store(taken, ordering: .relaxed)
    return put - taken <= mask
  }

  /// Hands a value over; waits for room.
  func push(_ element: consuming Element) {
    var spin = SpinWait()
    while !hasRoom { spin.wait() }
    let put = unsafe ends.pointee.put.load(ordering: .relaxed)
    unsafe (slots + (put & mask)).initialize(to: element)
    unsafe ends.pointee.put.store(put + 1, ordering: .releasing)
  }

  /// The oldest value, or nil if there is none now.
  func pop() -> Element? {
    let taken = unsafe ends.pointee.taken.load(ordering: .relaxed)
    if unsafe taken == ends.pointee.seenPut.load(ordering: .relaxed) {
      let put = unsafe ends.pointee.put.load(ordering: .acquiring)
      guard taken != put else { return nil }
      unsafe ends.pointee.seenPut.store(put, ordering: .relaxed)
    }
    let element = unsafe (slots + (taken & mask)).move()
    unsafe ends.pointee.taken.store(taken + 1, ordering: .releasing)
    return element
  }

  /// The oldest value; waits for one.
  func wait() -> Element {
    var spin = SpinWait()
    while true {
      if let element = pop() { return element }
      spin.wait()
    }
  }
}
