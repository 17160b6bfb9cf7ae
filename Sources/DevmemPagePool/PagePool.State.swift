// SPDX-License-Identifier: Apache-2.0

public import CThreadIdentity
public import Synchronization

extension PagePool {
  /// What the allocate and free paths touch, behind a pointer that never changes
  /// (the hot part of `struct page_pool`).
  ///
  /// Ordered by who writes it, each block on cache lines of its own: the owner's block, the block
  /// that everybody only reads, and the word that other threads write. Counters that other threads
  /// may read are atomics, but only their one writer's plain loads and stores touch them.
  @usableFromInline
  @safe
  struct State: ~Copyable {
    // SAFETY: the cache that base, limit and top point into, and the core, live as long as the state.

    @usableFromInline typealias Slot = AtomicSlot.Slot

    // The owner thread writes this block.

    /// One past the topmost buffer in the cache.
    @usableFromInline let top: AtomicSlot
    /// Allocations that the cache served (`alloc_stats.fast`).
    @usableFromInline let fast = Atomic<UInt64>(0)
    /// Buffers taken off the return queue and not yet used: first index of a list, 0 = none.
    var localHead: UInt32 = 0
    /// Length of that list.
    let localCount = Atomic<Int>(0)
    /// The IOV that fragments are being cut from.
    @usableFromInline var fragments = FragmentCursor()
    /// A batch that came back on this thread and is kept whole for who wants as many next; part of the
    /// cache. Nil if there is none.
    @usableFromInline var wholeBatch: Slot?
    /// Buffers in it.
    @usableFromInline let wholeBatchCount = Atomic<Int>(0)
    /// Storages of batches that have gone, for the next ones: the first of a list, and how many.
    @usableFromInline var spareStorage: Slot?
    @usableFromInline var spareStorageCount = 0
    let counters = Counters()

    // Everybody reads this block. 128 bytes on either side keep it off the others' pairs of cache
    // lines.

    private let gap1 = InlineArray<16, UInt64>(repeating: 0)
    /// Identity of the thread that may allocate: 0 = nobody's, `closedOwner` = never again.
    @usableFromInline let owner: Atomic<UInt>
    /// The bottom of the cache.
    @usableFromInline let base: Slot
    /// The first slot past the cache; the bottom of it while returns want attention.
    @usableFromInline let limit: AtomicSlot
    let slabs: SlabTable
    /// The object that this state belongs to; it frees the state.
    let core: Unmanaged<PagePoolCore>

    private let gap2 = InlineArray<16, UInt64>(repeating: 0)

    // Other threads write this block.

    let queue: ReturnQueue
    private let gap3 = InlineArray<8, UInt64>(repeating: 0)

    init(
      base: Slot, capacity: Int, ringCapacity: Int, owner: UInt, slabs: consuming SlabTable,
      core: Unmanaged<PagePoolCore>
    ) {
      top = unsafe AtomicSlot(base)
      unsafe self.base = unsafe base
      limit = unsafe AtomicSlot(base + capacity)
      self.owner = Atomic(owner)
      self.slabs = slabs
      queue = ReturnQueue(capacity: ringCapacity)
      unsafe self.core = unsafe core
    }

    /// No thread has this identity: thread control blocks are aligned.
    static var closedOwner: UInt { 1 }

    /// Buffers on the cache's stack. Exact on the owner thread.
    var stackedCount: Int { unsafe top.load() - base }
    /// Buffers in the cache. Exact on the owner thread.
    var cachedCount: Int { stackedCount + wholeBatchCount.load(ordering: .relaxed) }

    /// Whether the calling thread is the owner.
    @inlinable
    var isMine: Bool { owner.load(ordering: .relaxed) == cthread_identity() }
  }
}

extension PagePool.State {
  @usableFromInline typealias Reference = UnsafeMutablePointer<PagePool.State>

  /// The last holder gives a buffer up: into the cache if this is the owner thread and there is
  /// room. Budget: 12 instructions.
  @inlinable
  static func put(_ record: UnsafeMutablePointer<NetIOV>) {
    let state = unsafe record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
    guard unsafe state.pointee.isMine else { return unsafe putElsewhere(record, state) }
    let top = unsafe state.pointee.top.load()
    guard unsafe top < state.pointee.limit.load() else { return unsafe putSlow(record, state) }
    unsafe top.initialize(to: NetIOVReference(record: record))
    unsafe state.pointee.top.store(top + 1)
  }

  /// One of several holders gives the buffer up; the last of them returns it.
  @usableFromInline
  @inline(never)
  static func putShared(_ record: UnsafeMutablePointer<NetIOV>) {
    unsafe drop(1, of: record)
  }

  /// Takes `count` references away and returns the buffer if they were the last.
  static func drop(_ count: UInt32, of record: UnsafeMutablePointer<NetIOV>) {
    let left = unsafe record.pointee.referenceCount.subtract(
      count, ordering: .acquiringAndReleasing)
    guard left.newValue == 0 else { return }
    unsafe record.pointee.referenceCount.store(1, ordering: .relaxed)
    unsafe put(record)
  }

  /// A return on the owner thread that finds the cache full, or declared full.
  @usableFromInline
  @inline(never)
  static func putSlow(_ record: UnsafeMutablePointer<NetIOV>, _ state: Reference) {
    unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      unsafe core.returnOnOwner(NetIOVReference(record: record))
    }
  }

  /// A return on another thread that the queue refused: closed, or every return is wanted.
  @inline(never)
  fileprivate static func putAttended(
    _ record: UnsafeMutablePointer<NetIOV>, _ state: Reference
  ) {
    unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      unsafe core.returnAttended(NetIOVReference(record: record), state)
    }
  }
}

/// A return on another thread than the owner's. Budget: 27 instructions.
///
/// Not a member: a static method gets a thunk of four instructions in front of it.
@usableFromInline
@inline(never)
func putElsewhere(_ record: UnsafeMutablePointer<NetIOV>, _ state: PagePool.State.Reference) {
  guard unsafe !state.pointee.queue.push(record) else { return }
  unsafe PagePool.State.putAttended(record, state)
}
