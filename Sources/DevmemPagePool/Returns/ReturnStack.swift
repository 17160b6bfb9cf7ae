// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Where other threads leave buffers for the owner when the ring is full: there is always room.
///
/// A stack of records linked by index: a push is one compare-and-swap, it never waits for anybody
/// and there is always room, since the link lies in the buffer's own record. The owner takes all of
/// them with one exchange. As nobody pops single entries, a head that comes back (ABA) does no
/// harm.
///
/// The head is one word: bits 0...31 the first buffer's index (0 = empty), bits 32...61 how many
/// there are, bit 62 that returns want attention, bit 63 that the pool is closed and takes no more.
/// Counting in the same word makes the number exact, and the two flags in it leave no window for a
/// buffer to be pushed unnoticed.
struct ReturnStack: ~Copyable {
  private let head = Atomic<UInt64>(0)

  private static var closedBit: UInt64 { 1 << 63 }
  private static var attentionBit: UInt64 { 1 << 62 }

  /// A list of buffers, first to last pushed.
  struct Chain {
    var first: UInt32
    var count: Int
  }

  /// Adds a buffer. Any thread. False, and the buffer not taken, when the queue is closed or wants
  /// attention.
  func push(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    unsafe push(from: record, to: record, count: 1, below: Self.attentionBit)
  }

  /// Adds records that are already linked to each other, in one operation. Any thread. False, and
  /// nothing taken, when the queue is closed or wants attention.
  func push(
    from first: UnsafeMutablePointer<NetIOV>, to last: UnsafeMutablePointer<NetIOV>, count: Int
  ) -> Bool {
    unsafe push(from: first, to: last, count: count, below: Self.attentionBit)
  }

  /// Adds a buffer whether attention is wanted or not. Any thread. False when the queue is closed.
  func pushUnattended(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    unsafe push(from: record, to: record, count: 1, below: Self.closedBit)
  }

  @inline(__always)
  private func push(
    from first: UnsafeMutablePointer<NetIOV>, to last: UnsafeMutablePointer<NetIOV>, count: Int,
    below flag: UInt64
  ) -> Bool {
    var seen = head.load(ordering: .relaxed)
    let index = unsafe UInt64(first.pointee.index)
    while true {
      // A flag is larger than every head without one.
      guard seen < flag else { return false }
      unsafe last.pointee.next = UInt32(truncatingIfNeeded: seen)
      let desired = ((seen &>> 32) &+ UInt64(count)) &<< 32 | index
      let (exchanged, original) = head.weakCompareExchange(
        expected: seen, desired: desired, successOrdering: .releasing, failureOrdering: .relaxed)
      if exchanged { return true }
      seen = original
    }
  }

  /// Takes everything. Owner thread only.
  func takeAll() -> Chain {
    let seen = head.load(ordering: .relaxed)
    // Only the owner sets and clears the attention flag, so it cannot change in between.
    let flag = seen & Self.attentionBit
    guard seen != flag, seen < Self.closedBit else { return Chain(first: 0, count: 0) }
    return Self.chain(head.exchange(flag, ordering: .acquiring))
  }

  /// Makes every push that comes after this call return false, or no longer. Owner thread only.
  func setWantsAttention(_ isWanted: Bool) {
    if isWanted {
      head.bitwiseOr(Self.attentionBit, ordering: .acquiringAndReleasing)
    } else {
      head.bitwiseAnd(~Self.attentionBit, ordering: .acquiringAndReleasing)
    }
  }

  /// Takes everything and lets nothing more in.
  func close() -> Chain {
    Self.chain(head.exchange(Self.closedBit, ordering: .acquiringAndReleasing))
  }

  /// Buffers on the queue now. Any thread.
  var count: Int { Self.chain(head.load(ordering: .relaxed)).count }

  private static func chain(_ word: UInt64) -> Chain {
    Chain(
      first: UInt32(truncatingIfNeeded: word),
      count: Int((word & ~(closedBit | attentionBit)) &>> 32))
  }
}
