// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Collects buffers that end on one thread and returns them to their pools in bulk (`struct
/// xdp_frame_bulk`; Documentation/networking/page_pool.rst, `page_pool_put_netmem_bulk`).
///
/// For a thread that frees, one by one, what other threads' pools gave out: a buffer that just dies
/// there costs an atomic operation on a cache line that the pool's owner reads, one that goes
/// through a returner a fraction of that. The price is that the pool gets it later: until the
/// returner is full, flushed or gone, a buffer in it counts as held, and one that is shared has
/// this holder. Call ``flush()`` before the thread waits for something.
///
/// Buffers of several pools may come in any order, e.g. headers and payloads in turns.
///
/// Move-only. Not thread-safe, but may be moved between threads.
@frozen
@safe
public struct NetmemReturner: ~Copyable, @unchecked Sendable {
  // SAFETY: `slots` has room for `capacity` references; the first `used` are initialised, each
  // standing for one handle.
  @usableFromInline let slots: AtomicSlot.Slot
  @usableFromInline var used = 0
  /// Buffers that are collected at most, 1 or more.
  @usableFromInline package let capacity: Int

  /// A returner that gives back as soon as it has `capacity` buffers, 1 or more. The kernel's have
  /// 16.
  public init(capacity: Int = 128) {
    precondition(capacity > 0, "a returner of at least one buffer")
    self.capacity = capacity
    unsafe slots = .allocate(capacity: capacity)
  }

  @inlinable
  deinit {
    unsafe Self.putAll(slots, used)
    unsafe slots.deallocate()
  }

  /// Number of buffers that wait here.
  @inlinable public var count: Int { used }

  /// Takes a buffer to return; all that wait go back with it if it is the last that has room.
  ///
  /// Nothing is looked at before that: the buffer's record may not be in this processor's cache.
  @inlinable
  public mutating func put(_ netmem: consuming Netmem) {
    unsafe (slots + used).initialize(to: RecordReference(record: netmem.forget()))
    used &+= 1
    if used == capacity { flush() }
  }

  /// Returns all that wait: of a buffer that has other holders, only the handle ends.
  @inlinable
  public mutating func flush() {
    let count = used
    used = 0
    unsafe Self.putAll(slots, count)
  }

  /// Ends so many handles; the buffers of one pool that nobody else holds go back in one operation
  /// where that can be.
  @usableFromInline
  @inline(never)
  static func putAll(_ slots: AtomicSlot.Slot, _ count: Int) {
    guard count > 0 else { return }
    // Mostly all are of one pool and have no other holders.
    if let pool = unsafe NetmemBatch.onlyPool(slots, count) {
      unsafe NetmemBatch.putOfOnePool(slots, count, pool)
    } else {
      unsafe NetmemBatch.putMixed(slots, count)
    }
  }
}
