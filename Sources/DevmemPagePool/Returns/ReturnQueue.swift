// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Where other threads leave buffers for the owner: a ring, and behind it a stack without limit, so
/// that a return never waits and is never refused for lack of room.
struct ReturnQueue: ~Copyable {
  let ring: ReturnRing
  let overflow = ReturnStack()

  /// - Parameter capacity: slots of the ring, rounded up to a power of two.
  init(capacity: Int) { ring = ReturnRing(capacity: capacity) }

  /// Adds a buffer if the ring is known to have room. Any thread. False, and the buffer not taken,
  /// where ``push(_:)`` has to be asked.
  @inline(__always)
  func pushAtOnce(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    unsafe ring.pushAtOnce(record)
  }

  /// Adds a buffer. Any thread. False, and the buffer not taken, when the queue is closed or wants
  /// attention, and always in a forked child.
  func push(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    var iov = unsafe RecordReference(record: record)
    switch unsafe ring.push(&iov, count: 1, below: ReturnRing.attentionBit) {
    case .pushed: return true
    case .refused: return false
    case .full: return unsafe overflow.push(record)
    }
  }

  /// Adds buffers in one operation, all or none. Any thread. False as above.
  func push(_ iovs: UnsafePointer<RecordReference>, count: Int) -> Bool {
    switch unsafe ring.push(iovs, count: count, below: ReturnRing.attentionBit) {
    case .pushed: return true
    case .refused: return false
    case .full:
      for position in 0..<count - 1 {
        unsafe iovs[position].record.pointee.next = iovs[position + 1].record.pointee.index
      }
      return unsafe overflow.push(
        from: iovs[0].record, to: iovs[count - 1].record, count: count)
    }
  }

  /// Adds all buffers of a batch, of this queue's pool, in one operation, and keeps their storage.
  /// Any thread. False, and nothing taken, when the queue is closed, wants attention or is full,
  /// somebody else may hold one of the buffers, or the cache could not take all of them.
  func push(_ storage: BatchStorage, _ count: Int, to pool: PagePool.State.Reference) -> Bool {
    guard storage.capacity == BatchStorage.keptCapacity, !storage.mayBeShared,
      unsafe count <= pool.pointee.capacity
    else { return false }
    return ring.push(storage, count: count, below: ReturnRing.attentionBit) == .pushed
  }

  /// Adds a buffer whether attention is wanted or not. Any thread. False when the queue is closed,
  /// and in a forked child.
  func pushUnattended(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    var iov = unsafe RecordReference(record: record)
    switch unsafe ring.push(&iov, count: 1, below: ReturnRing.closedBit) {
    case .pushed: return true
    case .refused: return false
    case .full: return unsafe overflow.pushUnattended(record)
    }
  }

  /// Makes every push that comes after this call return false, or no longer. Owner thread only.
  func setWantsAttention(_ isWanted: Bool) {
    ring.setWantsAttention(isWanted)
    overflow.setWantsAttention(isWanted)
  }

  /// Buffers on the queue now. Any thread.
  var count: Int { ring.count + overflow.count }
  /// Buffers that were pushed so far, without those that `ReturnStack/takeAll()` has given out.
  var pushedCount: UInt64 { ring.pushedCount + UInt64(overflow.count) }
}
