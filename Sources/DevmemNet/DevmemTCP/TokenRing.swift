// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tokens on their way back to the kernel: a ring that any thread adds to, without a lock, and one
/// thread at a time takes from (the idea of `ReturnRing`).
///
/// It cannot overflow: a token is in it only while the receiver owes it, a receiver owes no more
/// than its limit, and the ring has room for so many. Tokens are never 0, which marks a free slot.
@safe
struct TokenRing: ~Copyable, @unchecked Sendable {
  // SAFETY: allocated in init for `mask` + 1 elements, all initialised; freed in deinit.
  private let slots: UnsafeMutablePointer<Atomic<UInt32>>
  private let mask: Int
  private let tail = Atomic<Int>(0)
  private let head = Atomic<Int>(0)

  deinit {
    unsafe slots.deinitialize(count: mask + 1)
    unsafe slots.deallocate()
  }

  /// A ring for at least `capacity` tokens, 1 or more.
  init(capacity: Int) {
    precondition(capacity > 0, "a token ring has room for one token")
    let count = 1 << (Int.bitWidth - (capacity - 1).leadingZeroBitCount)
    mask = count - 1
    unsafe slots = .allocate(capacity: count)
    for index in 0..<count { unsafe (slots + index).initialize(to: Atomic(0)) }
  }

  /// Adds a token. Any thread; two atomic operations.
  /// - Returns: how many there are now. A snapshot.
  func push(_ token: UInt32) -> Int {
    let position = tail.add(1, ordering: .relaxed).oldValue
    let seen = head.load(ordering: .relaxed)
    precondition(position &- seen <= mask, "more tokens than the receiver ever owed")
    // Releasing: what the holder read of the fragment's bytes it has read by now.
    unsafe slots[position & mask].store(token, ordering: .releasing)
    return position &- seen &+ 1
  }

  /// Takes the oldest token; nil when there is none, or its thread has not written it yet. One
  /// thread at a time.
  func pop() -> UInt32? {
    let position = head.load(ordering: .relaxed)
    let token = unsafe slots[position & mask].exchange(0, ordering: .acquiring)
    guard token != 0 else { return nil }
    head.store(position &+ 1, ordering: .releasing)
    return token
  }

  /// Whether ``pop()`` would find one. Any thread; a snapshot.
  var hasNext: Bool {
    unsafe slots[head.load(ordering: .relaxed) & mask].load(ordering: .relaxed) != 0
  }

  /// Tokens in the ring. Any thread; a snapshot.
  var count: Int { max(0, tail.load(ordering: .relaxed) &- head.load(ordering: .relaxed)) }
}
