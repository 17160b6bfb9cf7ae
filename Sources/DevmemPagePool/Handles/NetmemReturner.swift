// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Collects buffers that end on one thread and returns them to their pools in bulk (`struct
/// xdp_frame_bulk`; Documentation/networking/page_pool.rst, `page_pool_put_netmem_bulk`).
///
/// For a thread that frees, one by one, what other threads' pools gave out: a buffer that just dies
/// there costs an atomic operation on a cache line that the pool's owner reads, one that goes
/// through a returner a fraction of that. The price is that the pool gets it later: until the
/// returner is full, flushed or gone, a buffer in it counts as held. Call ``flush()`` before the
/// thread waits for something.
///
/// Move-only. Not thread-safe, but may be moved between threads.
@frozen
@safe
public struct NetmemReturner: ~Copyable, @unchecked Sendable {
  // SAFETY: `slots` has room for `capacity` references; the first `used` are initialised, each
  // standing for the only handle to its buffer. `poolBits` is only followed while `used` > 0.
  @usableFromInline let slots: AtomicSlot.Slot
  @usableFromInline var used = 0
  /// Address of the pool's state, 0 at first.
  @usableFromInline var poolBits: UInt = 0
  /// Buffers that are collected at most, 1 or more.
  @usableFromInline package let capacity: Int

  /// A returner that gives back as soon as it has `capacity` buffers of one pool, 1 or more. The
  /// kernel's have 16.
  public init(capacity: Int = 64) {
    precondition(capacity > 0, "a returner of at least one buffer")
    self.capacity = capacity
    unsafe slots = .allocate(capacity: capacity)
  }

  @inlinable
  deinit {
    unsafe Self.putBack(slots, used, pool)
    unsafe slots.deallocate()
  }

  /// The pool of those that wait.
  @inlinable
  var pool: PagePool.State.Reference? { unsafe PagePool.State.Reference(bitPattern: poolBits) }

  /// Number of buffers that wait here.
  @inlinable public var count: Int { used }

  /// Takes a buffer to return. If it is of another pool than the buffers that wait here, those go
  /// back first; if it makes the returner full, all go back at once.
  ///
  /// If other handles or tokens refer to the buffer, only this handle ends.
  @inlinable
  public mutating func put(_ netmem: consuming Netmem) {
    let record = unsafe netmem.forget()
    guard unsafe record.pointee.referenceCount.load(ordering: .acquiring) == 1 else {
      return unsafe putShared(record)
    }
    let its = unsafe record.pointee.pool.load(ordering: .relaxed)
    guard _fastPath(UInt(bitPattern: its) == poolBits) else {
      return unsafe putFirst(record, its)
    }
    unsafe (slots + used).initialize(to: RecordReference(record: record))
    used &+= 1
    if used == capacity { flush() }
  }

  /// Takes a buffer of another pool than those that wait.
  @usableFromInline
  @inline(never)
  mutating func putFirst(
    _ record: UnsafeMutablePointer<NetIOV>, _ its: PagePool.State.Reference?
  ) {
    flush()
    poolBits = UInt(bitPattern: its)
    unsafe slots.initialize(to: RecordReference(record: record))
    used = 1
    if used == capacity { flush() }
  }

  /// Returns all that wait.
  @inlinable
  public mutating func flush() {
    let count = used
    used = 0
    unsafe Self.putBack(slots, count, pool)
  }

  /// Buffers of one pool that nobody else holds, in one operation where that can be.
  @usableFromInline
  @inline(never)
  static func putBack(_ slots: AtomicSlot.Slot, _ count: Int, _ pool: PagePool.State.Reference?) {
    guard count > 0, let pool = unsafe pool else { return }
    if unsafe pool.pointee.key != 0 {
      return unsafe PagePool.State.putHere(slots, count, pool)
    }
    if unsafe pool.pointee.isMine {
      let top = unsafe pool.pointee.beginReturn()
      if unsafe pool.pointee.limit.isAtLeast(top + count) {
        unsafe top.update(from: slots, count: count)
        unsafe pool.pointee.top.publish(top + count)
        return
      }
      unsafe pool.pointee.top.publish(top)
    } else if unsafe pool.pointee.queue.push(slots, count: count) {
      return
    }
    unsafe NetmemBatch.putBackSingly(slots, count)
  }
}
