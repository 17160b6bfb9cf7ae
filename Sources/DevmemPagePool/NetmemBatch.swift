// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Some buffers together, e.g. one burst of a ring.
///
/// Move-only like its buffers. What is left in it when it dies goes back in bulk: into the cache on the
/// owner thread, with one atomic operation for all of them on another, pool by pool if it holds buffers
/// of several. A batch is not thread-safe, but may be moved to and die on any thread.
@frozen
@safe
public struct NetmemBatch: ~Copyable, @unchecked Sendable {
  // SAFETY: `storage` has room for `capacity` references, of which the first `used` are initialised,
  // each standing for one handle that this batch holds.
  @usableFromInline var storage: AtomicSlot.Slot
  @usableFromInline var capacity: Int
  @usableFromInline var used: Int
  /// The one pool that all buffers are of; nil if the batch is empty or mixed.
  @usableFromInline var pool: PagePool.State.Reference?
  @usableFromInline var isMixed = false

  /// Size of the storage that a pool keeps for its next batch: one refill.
  @usableFromInline static var spareCapacity: Int { 64 }

  @inlinable
  init(storage: AtomicSlot.Slot, capacity: Int, count: Int, pool: PagePool.State.Reference?) {
    unsafe self.storage = unsafe storage
    self.capacity = capacity
    used = count
    unsafe self.pool = unsafe pool
  }

  /// An empty batch with room for some buffers; it grows when needed.
  public init(capacity: Int = 64) {
    let capacity = max(1, capacity)
    unsafe self.init(
      storage: .allocate(capacity: capacity), capacity: capacity, count: 0, pool: nil)
  }

  @inlinable
  deinit {
    if let pool = unsafe pool, !isMixed, unsafe pool.pointee.isMine {
      unsafe Self.putBack(storage, count, pool)
      if capacity == Self.spareCapacity, unsafe pool.pointee.spareBatch == nil {
        unsafe pool.pointee.spareBatch = unsafe storage
        return
      }
    } else if count > 0 {
      unsafe Self.putBackElsewhere(storage, count)
    }
    unsafe storage.deallocate()
  }

  /// Number of buffers in the batch.
  @inlinable public var count: Int { used }
  /// Whether there is no buffer in it.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// Takes the last buffer out, or nil if the batch is empty.
  @inlinable
  public mutating func takeLast() -> Netmem? {
    guard count > 0 else { return nil }
    used -= 1
    return unsafe Netmem(record: storage[used].record)
  }

  /// Adds a buffer, of whatever pool.
  public mutating func append(_ netmem: consuming Netmem) {
    if count == capacity { grow() }
    let record = unsafe netmem.forget()
    let its = unsafe record.pointee.pool.load(ordering: .relaxed)
    if count == 0 {
      unsafe pool = unsafe its
      isMixed = false
    } else if unsafe its != pool {
      isMixed = true
    }
    unsafe (storage + count).initialize(to: NetIOVReference(record: record))
    used += 1
  }

  /// Keeps the first `position` buffers and returns the others as a batch of their own.
  /// - Precondition: `0 <= position <= count`.
  public mutating func split(at position: Int) -> NetmemBatch {
    precondition(position >= 0 && position <= count, "split position outside the batch")
    let moved = count - position
    var rest = NetmemBatch(capacity: moved)
    unsafe rest.storage.moveInitialize(from: storage + position, count: moved)
    rest.used = moved
    unsafe rest.pool = unsafe pool
    rest.isMixed = isMixed
    used = position
    return rest
  }

  /// Looks at each buffer, first to last.
  public func forEach<E: Error>(_ body: (borrowing Netmem) throws(E) -> Void) throws(E) {
    for position in 0..<count {
      let netmem = unsafe Netmem(record: storage[position].record)
      do {
        try body(netmem)
      } catch {
        _ = unsafe netmem.forget()
        throw error
      }
      _ = unsafe netmem.forget()
    }
  }

  private mutating func grow() {
    let larger = AtomicSlot.Slot.allocate(capacity: 2 * capacity)
    unsafe larger.moveInitialize(from: storage, count: count)
    unsafe storage.deallocate()
    unsafe storage = unsafe larger
    capacity *= 2
  }

  // MARK: Going back

  /// Buffers of one pool on its owner's thread: into the cache all at once if there is room and nobody
  /// else holds one of them. Budget: 6 instructions a buffer.
  @inlinable
  static func putBack(
    _ storage: AtomicSlot.Slot, _ count: Int, _ pool: PagePool.State.Reference
  ) {
    let top = unsafe pool.pointee.top.load()
    let end = unsafe top + count
    guard unsafe end <= pool.pointee.limit.load(), unsafe areUnshared(storage, count) else {
      return unsafe putBackSingly(storage, count)
    }
    unsafe top.update(from: storage, count: count)
    unsafe pool.pointee.top.store(end)
  }

  /// Whether this batch holds the only reference to each buffer. Four at a time: the loop's own three
  /// instructions would otherwise be nearly half of it.
  @inlinable
  static func areUnshared(_ storage: AtomicSlot.Slot, _ count: Int) -> Bool {
    var next = unsafe storage
    let end = unsafe storage + count
    while unsafe next + 4 <= end {
      guard unsafe isUnshared(next[0]), unsafe isUnshared(next[1]), unsafe isUnshared(next[2]),
        unsafe isUnshared(next[3])
      else { return false }
      unsafe next += 4
    }
    while unsafe next < end {
      guard unsafe isUnshared(next[0]) else { return false }
      unsafe next += 1
    }
    return true
  }

  @inlinable
  @inline(__always)
  static func isUnshared(_ iov: NetIOVReference) -> Bool {
    unsafe iov.record.pointee.referenceCount.load(ordering: .acquiring) == 1
  }

  @usableFromInline
  @inline(never)
  static func putBackSingly(_ storage: AtomicSlot.Slot, _ count: Int) {
    for position in 0..<count { _ = unsafe Netmem(record: storage[position].record) }
  }

  /// Buffers of one pool or several, on whatever thread: pushed onto their queues with one operation
  /// each. Those that somebody else still holds drop out on the way.
  @usableFromInline
  @inline(never)
  static func putBackElsewhere(_ storage: AtomicSlot.Slot, _ total: Int) {
    var count = 0
    for position in 0..<total {
      let record = unsafe storage[position].record
      if unsafe record.pointee.referenceCount.load(ordering: .acquiring) == 1 {
        unsafe storage[count] = unsafe storage[position]
        count += 1
      } else {
        unsafe PagePool.State.putShared(record)
      }
    }
    var start = 0
    while start < count {
      start = unsafe putBackFirstPool(storage, start..<count)
    }
  }

  /// Returns the buffers that are of the same pool as the first of the range, in one operation.
  /// - Returns: where the others begin.
  private static func putBackFirstPool(_ storage: AtomicSlot.Slot, _ range: Range<Int>) -> Int {
    func pool(of position: Int) -> PagePool.State.Reference {
      unsafe storage[position].record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
    }
    let target = unsafe pool(of: range.lowerBound)
    var end = range.lowerBound + 1
    for position in end..<range.upperBound where unsafe pool(of: position) == target {
      unsafe swap(&storage[position], &storage[end])
      end += 1
    }
    let first = unsafe storage + range.lowerBound
    let isPushed =
      unsafe !target.pointee.isMine
      && target.pointee.queue.push(first, count: end - range.lowerBound)
    if !isPushed {
      // The owner itself, a closed pool, or one that wants to see each return.
      unsafe putBackSingly(first, end - range.lowerBound)
    }
    return end
  }
}
