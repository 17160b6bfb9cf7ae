// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Where other threads leave buffers for the owner (the role of the kernel's `ptr_ring`).
///
/// A stack of records linked by index: a push is one compare-and-swap, it never waits for anybody
/// and there is always room, since the link lies in the buffer's own record. The owner takes all of
/// them with one exchange. As nobody pops single entries, a head that comes back (ABA) does no harm.
///
/// The head is one word: bits 0...31 the first buffer's index (0 = empty), bits 32...62 how many
/// there are, bit 63 that the pool is closed and takes no more. Counting in the same word makes the
/// number exact, and closing in it leaves no window for a buffer to be pushed and forgotten.
struct ReturnQueue: ~Copyable {
  private let head = Atomic<UInt64>(0)

  private static var closedBit: UInt64 { 1 << 63 }

  /// A list of buffers, first to last pushed.
  struct Chain {
    var first: UInt32
    var count: Int
  }

  /// Adds a buffer. Any thread. False when the queue is closed: the buffer was not taken then.
  func push(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    var seen = head.load(ordering: .relaxed)
    let index = unsafe UInt64(record.pointee.index)
    while true {
      guard seen & Self.closedBit == 0 else { return false }
      unsafe record.pointee.next = UInt32(truncatingIfNeeded: seen)
      let (exchanged, original) = head.weakCompareExchange(
        expected: seen, desired: ((seen &>> 32) &+ 1) &<< 32 | index,
        successOrdering: .releasing, failureOrdering: .relaxed)
      if exchanged { return true }
      seen = original
    }
  }

  /// Takes everything. Owner thread only.
  func takeAll() -> Chain {
    guard head.load(ordering: .relaxed) != 0 else { return Chain(first: 0, count: 0) }
    return Self.chain(head.exchange(0, ordering: .acquiring))
  }

  /// Takes everything and lets nothing more in.
  func close() -> Chain {
    Self.chain(head.exchange(Self.closedBit, ordering: .acquiringAndReleasing))
  }

  /// Buffers on the queue now. Any thread.
  var count: Int { Self.chain(head.load(ordering: .relaxed)).count }

  private static func chain(_ word: UInt64) -> Chain {
    Chain(first: UInt32(truncatingIfNeeded: word), count: Int((word & ~closedBit) &>> 32))
  }
}
