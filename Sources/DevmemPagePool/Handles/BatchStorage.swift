// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Room for the buffers of a batch: slots behind a header of two words.
///
/// It travels with the batch. A batch that dies on another thread goes back in it as one entry of
/// the return ring, so that neither its slots nor its memory change processors, and a pool keeps
/// the storages of batches that have gone for the next ones.
@frozen
@usableFromInline
@safe
struct BatchStorage: @unchecked Sendable {
  // SAFETY: made by `allocate`, which puts an initialised header before the slots; whoever holds
  // the storage (one batch, one ring entry or one pool), on whatever thread, frees it.
  @usableFromInline let slots: AtomicSlot.Slot

  @frozen
  @usableFromInline
  @safe
  struct Header: ~Copyable {
    // SAFETY: `next` is only used while the storage is on its pool's list.
    @usableFromInline let capacity: UInt32
    /// Whether somebody besides the batch may hold one of its buffers. While it is false nobody has
    /// to look at their reference counts.
    @usableFromInline let mayBeShared = Atomic<Bool>(false)
    /// The next storage that a pool keeps.
    @usableFromInline var next: AtomicSlot.Slot?

    init(capacity: UInt32) {
      self.capacity = capacity
      unsafe next = nil
    }
  }

  /// Slots of the storages that pools keep: one refill.
  @usableFromInline static var keptCapacity: Int { 64 }
  /// Storages that a pool keeps at most: 33 KiB.
  @usableFromInline static var keptCount: Int { 64 }

  @inlinable
  init(slots: AtomicSlot.Slot) { unsafe self.slots = unsafe slots }

  /// Room for `capacity` buffers, 1 ..< 2^32.
  static func allocate(capacity: Int) -> BatchStorage {
    // Aligned to 16, so that the ring can put marks into the low bits of the address.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<Header>.size + capacity * MemoryLayout<RecordReference>.stride,
      alignment: 16)
    unsafe memory.bindMemory(to: Header.self, capacity: 1).initialize(
      to: Header(capacity: UInt32(capacity)))
    let slots = unsafe memory + MemoryLayout<Header>.size
    return unsafe BatchStorage(
      slots: slots.bindMemory(to: RecordReference.self, capacity: capacity))
  }

  @usableFromInline
  @inline(never)
  func deallocate() {
    unsafe header.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(header).deallocate()
  }

  @inlinable
  var header: UnsafeMutablePointer<Header> {
    unsafe (UnsafeMutableRawPointer(slots) - MemoryLayout<Header>.size)
      .assumingMemoryBound(to: Header.self)
  }

  @inlinable
  var capacity: Int { unsafe Int(header.pointee.capacity) }

  @inlinable
  var mayBeShared: Bool {
    get { unsafe header.pointee.mayBeShared.load(ordering: .relaxed) }
    nonmutating set { unsafe header.pointee.mayBeShared.store(newValue, ordering: .relaxed) }
  }

  /// Frees the storage, and all that are linked behind it.
  static func deallocateList(_ first: AtomicSlot.Slot?) {
    var next = unsafe first
    while let slots = unsafe next {
      let storage = unsafe BatchStorage(slots: slots)
      unsafe next = unsafe storage.header.pointee.next
      storage.deallocate()
    }
  }
}

extension PagePool.State {
  /// Takes the batch that is kept whole, if it is of `count` buffers. Owner thread only.
  @inlinable
  mutating func takeWholeBatch(of count: Int) -> BatchStorage? {
    guard let slots = unsafe wholeBatch, wholeBatchCount.load(ordering: .relaxed) == count else {
      return nil
    }
    unsafe wholeBatch = nil
    wholeBatchCount.store(0, ordering: .relaxed)
    return unsafe BatchStorage(slots: slots)
  }

  /// Keeps a batch whole that the cache has room for, unless it is large or there is one of as many
  /// buffers already; one of more or fewer goes onto the stack instead. Owner thread only.
  @inlinable
  mutating func loadWhole(_ storage: BatchStorage, _ count: Int, _ top: inout Slot) -> Bool {
    guard storage.capacity == BatchStorage.keptCapacity else { return false }
    let kept = wholeBatchCount.load(ordering: .relaxed)
    guard unsafe kept == 0 || (kept != count && stackWholeBatch(&top)) else { return false }
    unsafe wholeBatch = unsafe storage.slots
    wholeBatchCount.store(count, ordering: .relaxed)
    return true
  }

  /// Puts a batch that nobody shares into the cache, which has room for it: whole, or onto the
  /// stack. Owner thread only, within the mark of a return.
  @inlinable
  @inline(__always)
  mutating func put(_ storage: BatchStorage, _ count: Int, _ top: inout Slot) {
    if unsafe loadWhole(storage, count, &top) { return }
    unsafe top.update(from: storage.slots, count: count)
    unsafe top += count
    spare(storage)
  }

  /// Moves the batch that is kept whole onto the cache's stack. False if there is none, or no room.
  @usableFromInline
  @inline(never)
  mutating func stackWholeBatch(_ top: inout Slot) -> Bool {
    let count = wholeBatchCount.load(ordering: .relaxed)
    // The cache may be declared full; an empty one has room for whatever it once had.
    guard unsafe count <= capacity && (top == base || limit.isAtLeast(top + count)),
      let storage = takeWholeBatch(of: count)
    else { return false }
    unsafe top.update(from: storage.slots, count: count)
    unsafe top += count
    spare(storage)
    return true
  }

  mutating func stackWholeBatch() -> Bool {
    var top = unsafe top.load()
    guard unsafe stackWholeBatch(&top) else { return false }
    unsafe self.top.store(top)
    return true
  }

  /// Takes a storage that the pool keeps; nil when there is none. Owner thread only.
  @inlinable
  mutating func takeStorage() -> BatchStorage? {
    guard let slots = unsafe spareStorage else { return nil }
    let storage = unsafe BatchStorage(slots: slots)
    unsafe spareStorage = unsafe storage.header.pointee.next
    spareStorageCount &-= 1
    return storage
  }

  /// Lays the storage of a batch that has gone aside for the next one, or frees it. Owner thread
  /// only.
  @inlinable
  mutating func spare(_ storage: BatchStorage) {
    guard storage.capacity == BatchStorage.keptCapacity,
      spareStorageCount < BatchStorage.keptCount
    else { return storage.deallocate() }
    storage.mayBeShared = false
    unsafe storage.header.pointee.next = unsafe spareStorage
    unsafe spareStorage = unsafe storage.slots
    spareStorageCount &+= 1
  }
}
