// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Some buffers together, e.g. one burst of a ring.
///
/// Move-only like its buffers. What is left in it when it dies goes back in bulk: into the cache on
/// the owner thread, with one atomic operation for all of them on another, pool by pool if it holds
/// buffers of several. A batch is not thread-safe, but may be moved to and die on any thread.
///
/// A batch keeps in mind whether one of its buffers can have a second holder: only if it was shared
/// before it was appended, or while ``forEach(_:)`` lent it. If none can, the batch goes back
/// without a look at its buffers.
@frozen
@safe
public struct NetmemBatch: ~Copyable, @unchecked Sendable {
  // SAFETY: the first `used` slots of `storage` are initialised, each standing for one handle that
  // this batch holds. `pool` is only followed while `used` > 0: a buffer keeps its pool alive.
  @usableFromInline var storage: BatchStorage?
  @usableFromInline var used: Int
  /// The one pool that all buffers are of; nil if there are none or of several.
  @usableFromInline var pool: PagePool.State.Reference?

  @inlinable
  init(storage: BatchStorage?, count: Int, pool: PagePool.State.Reference?) {
    self.storage = storage
    used = count
    unsafe self.pool = unsafe pool
  }

  /// An empty batch with room for some buffers; it grows when needed.
  public init(capacity: Int = 64) {
    unsafe self.init(storage: .allocate(capacity: max(1, capacity)), count: 0, pool: nil)
  }

  @inlinable
  deinit {
    guard let storage else { return }
    if used > 0, let pool = unsafe pool, unsafe pool.pointee.isMine {
      unsafe Self.put(storage, used, pool)
    } else {
      unsafe Self.putElsewhere(storage, used, pool)
    }
  }

  /// Number of buffers in the batch.
  @inlinable public var count: Int { used }
  /// Whether there is no buffer in it.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// Takes the last buffer out, or nil if the batch is empty.
  @inlinable
  public mutating func popLast() -> Netmem? {
    guard used > 0, let storage else { return nil }
    used -= 1
    let netmem = unsafe Netmem(record: storage.slots[used].record)
    if used == 0 { spareOrFree(storage) }
    return netmem
  }

  /// Adds a buffer, of whatever pool.
  public mutating func append(_ netmem: consuming Netmem) {
    let storage = storageForOneMore()
    let record = unsafe netmem.forget()
    let its = unsafe record.pointee.pool.load(ordering: .relaxed)
    if used == 0 {
      unsafe pool = unsafe its
    } else if unsafe its != pool {
      unsafe pool = nil
    }
    // Alone with it now, the batch stays alone with it: only a holder can make another one.
    if unsafe record.pointee.referenceCount.load(ordering: .acquiring) != 1 {
      storage.mayBeShared = true
    }
    unsafe (storage.slots + used).initialize(to: RecordReference(record: record))
    used += 1
  }

  /// Keeps the first `position` buffers and returns the others as a batch of their own.
  /// - Precondition: `0 <= position <= count`.
  public mutating func split(at position: Int) -> NetmemBatch {
    precondition(position >= 0 && position <= count, "split position outside the batch")
    let moved = used - position
    guard moved > 0, let storage else {
      return unsafe NetmemBatch(storage: nil, count: 0, pool: nil)
    }
    let rest = BatchStorage.allocate(capacity: max(moved, BatchStorage.keptCapacity))
    unsafe rest.slots.moveInitialize(from: storage.slots + position, count: moved)
    rest.mayBeShared = storage.mayBeShared
    used = position
    return unsafe NetmemBatch(storage: rest, count: moved, pool: pool)
  }

  /// Looks at each buffer, first to last.
  public func forEach<E: Error>(_ body: (borrowing Netmem) throws(E) -> Void) throws(E) {
    guard let storage else { return }
    for position in 0..<used {
      let netmem = unsafe Netmem(record: storage.slots[position].record)
      do {
        try body(netmem)
      } catch {
        Self.endLoan(netmem, storage)
        throw error
      }
      Self.endLoan(netmem, storage)
    }
  }

  /// Lends each buffer for writing, first to last. If the body puts another buffer in its place,
  /// that one is in the batch from then on.
  public mutating func forEachMutable<E: Error>(
    _ body: (inout Netmem) throws(E) -> Void
  ) throws(E) {
    guard let storage else { return }
    for position in 0..<used {
      var netmem = unsafe Netmem(record: storage.slots[position].record)
      do {
        try body(&netmem)
      } catch {
        endLoan(netmem, at: position, of: storage)
        throw error
      }
      endLoan(netmem, at: position, of: storage)
    }
  }

  private mutating func endLoan(
    _ netmem: consuming Netmem, at position: Int, of storage: BatchStorage
  ) {
    unsafe storage.slots[position] = netmem.reference
    if unsafe netmem.record.pointee.pool.load(ordering: .relaxed) != pool { unsafe pool = nil }
    Self.endLoan(netmem, storage)
  }

  /// Ends the loan of a buffer, which may have been shared meanwhile.
  private static func endLoan(_ netmem: consuming Netmem, _ storage: BatchStorage) {
    let record = unsafe netmem.forget()
    // Acquire: if it was shared and the share has ended meanwhile, what its holder did with the
    // bytes is over.
    if unsafe record.pointee.referenceCount.load(ordering: .acquiring) != 1 {
      storage.mayBeShared = true
    }
  }

  /// Returns all buffers now, as the batch's end would, and keeps the batch.
  public mutating func removeAll() {
    guard let storage else { return }
    let count = used
    let pool = unsafe pool
    self.storage = nil
    used = 0
    _ = unsafe NetmemBatch(storage: storage, count: count, pool: pool)
  }

  // MARK: Storage

  private mutating func storageForOneMore() -> BatchStorage {
    guard let storage else {
      let storage = BatchStorage.allocate(capacity: BatchStorage.keptCapacity)
      self.storage = storage
      return storage
    }
    guard used == storage.capacity else { return storage }
    let larger = BatchStorage.allocate(capacity: 2 * used)
    unsafe larger.slots.moveInitialize(from: storage.slots, count: used)
    larger.mayBeShared = storage.mayBeShared
    storage.deallocate()
    self.storage = larger
    return larger
  }

  /// The last buffer is being taken out: after it the pool may be gone, so its storage goes back
  /// now.
  @usableFromInline
  mutating func spareOrFree(_ storage: BatchStorage) {
    self.storage = nil
    guard let pool = unsafe pool, unsafe pool.pointee.isMine else { return storage.deallocate() }
    // The buffer that is being taken out keeps the pool.
    let top = unsafe pool.pointee.beginReturn()
    let isWanted = unsafe !pool.pointee.limit.isNull
    if isWanted { unsafe pool.pointee.spare(storage) }
    unsafe pool.pointee.top.publish(top)
    if !isWanted { storage.deallocate() }
  }

  // MARK: Going back

  /// Buffers of one pool on its owner's thread: into the cache all at once if there is room and
  /// nobody else can hold one of them.
  @inlinable
  @inline(__always)
  static func put(_ storage: BatchStorage, _ count: Int, _ pool: PagePool.State.Reference) {
    var top = unsafe pool.pointee.beginReturn()
    if unsafe pool.pointee.limit.isAtLeast(top + count), !storage.mayBeShared {
      unsafe pool.pointee.put(storage, count, &top)
      unsafe pool.pointee.top.publish(top)
    } else {
      unsafe pool.pointee.top.publish(top)
      unsafe putSingly(storage.slots, count)
      storage.deallocate()
    }
  }

  @usableFromInline
  @inline(never)
  static func putSingly(_ slots: AtomicSlot.Slot, _ count: Int) {
    for position in 0..<count { _ = unsafe Netmem(record: slots[position].record) }
  }

  /// Buffers of one pool or several, on whatever thread: pushed onto their queues with one
  /// operation each. Takes over the storage.
  @usableFromInline
  @inline(never)
  static func putElsewhere(
    _ storage: BatchStorage, _ count: Int, _ pool: PagePool.State.Reference?
  ) {
    if count > 0, let pool = unsafe pool {
      if unsafe pool.pointee.isShared {
        if !storage.mayBeShared { return unsafe PagePool.State.putHere(storage, count, pool) }
      } else if unsafe pool.pointee.queue.push(storage, count, to: pool) {
        return
      }
    }
    unsafe putMixed(storage.slots, count)
    storage.deallocate()
  }

  /// The pool that all buffers are of; nil if there are several, or one has another holder.
  static func onlyPool(_ slots: AtomicSlot.Slot, _ count: Int) -> PagePool.State.Reference? {
    let first = unsafe slots[0].record.pointee.pool.load(ordering: .relaxed)
    // Without a branch for each: the loads need not wait for one another.
    var others: UInt32 = 0
    var otherPools: UInt = 0
    for position in 0..<count {
      let record = unsafe slots[position].record
      unsafe others |= record.pointee.referenceCount.load(ordering: .acquiring) ^ 1
      let its = unsafe record.pointee.pool.load(ordering: .relaxed)
      otherPools |= UInt(bitPattern: its) ^ UInt(bitPattern: first)
    }
    return unsafe others == 0 && otherPools == 0 ? first : nil
  }

  /// Those that somebody else still holds drop out on the way.
  static func putMixed(_ slots: AtomicSlot.Slot, _ total: Int) {
    var count = 0
    for position in 0..<total {
      let record = unsafe slots[position].record
      if unsafe record.pointee.referenceCount.load(ordering: .acquiring) == 1 {
        unsafe slots[count] = unsafe slots[position]
        count += 1
      } else {
        unsafe putShared(record)
      }
    }
    var start = 0
    while start < count {
      start = unsafe putFirstPool(slots, start..<count)
    }
  }

  /// Puts the buffers that are of the same pool as the first of the range.
  /// - Returns: where the others begin.
  private static func putFirstPool(_ slots: AtomicSlot.Slot, _ range: Range<Int>) -> Int {
    func pool(of position: Int) -> PagePool.State.Reference {
      unsafe slots[position].record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
    }
    let target = unsafe pool(of: range.lowerBound)
    var end = range.lowerBound + 1
    for position in end..<range.upperBound where unsafe pool(of: position) == target {
      unsafe swap(&slots[position], &slots[end])
      end += 1
    }
    let first = unsafe slots + range.lowerBound
    let count = end - range.lowerBound
    unsafe putOfOnePool(first, count, target)
    return end
  }

  /// Buffers of one pool that nobody else holds, in one operation where that can be. Any thread.
  static func putOfOnePool(
    _ slots: AtomicSlot.Slot, _ count: Int, _ pool: PagePool.State.Reference
  ) {
    if unsafe pool.pointee.isShared {
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
    // A full cache, a closed pool, or one that wants to see each return.
    unsafe putSingly(slots, count)
  }
}
