// SPDX-License-Identifier: Apache-2.0

public import CThreads
public import Synchronization

extension PagePool {
  /// What the allocate and free paths touch, behind a pointer that never changes
  /// (the hot part of `struct page_pool`).
  ///
  /// Ordered by who writes it, each block on cache lines of its own: the owner's block, the block
  /// that everybody only reads, and the word that other threads write. Counters that other threads
  /// may read are atomics, but only their one writer's plain loads and stores touch them.
  ///
  /// How another thread gets at the owner's block is in docs/life-cycle.md; `State+Entry.swift` is
  /// that page in code.
  @usableFromInline
  @safe
  struct State: ~Copyable {
    // SAFETY: the cache that base, limit and top point into, and the core, live as long as the
    // state.

    @usableFromInline typealias Slot = AtomicSlot.Slot

    // The owner thread writes this block.

    /// How many sections (see `section`) are nested in each other. The first word, so that it is
    /// nobody else's: ThreadSanitizer takes a change of any plain word here for one of the first.
    var depth = 0
    /// One past the topmost buffer in the cache; 0 while the owner is inside a return.
    @usableFromInline let top: AtomicSlot
    /// Twice the allocations that the cache served (`alloc_stats.fast`); odd while the owner is
    /// inside an allocation.
    @usableFromInline let served = Atomic<UInt64>(0)
    /// Whether the owner is inside something longer, which may call out; and who is to end the
    /// pool.
    let section = Atomic<UInt8>(0)
    /// Buffers taken off the return queue and not yet used: first index of a list, 0 = none.
    var localHead: UInt32 = 0
    /// Length of that list.
    let localCount = Atomic<Int>(0)
    /// The IOV that fragments are being cut from.
    @usableFromInline var fragments = FragmentCursor()
    /// A batch that came back on this thread and is kept whole for who wants as many next; part of
    /// the cache. Nil if there is none.
    @usableFromInline var wholeBatch: Slot?
    /// Buffers in it.
    @usableFromInline let wholeBatchCount = Atomic<Int>(0)
    /// Storages of batches that have gone, for the next ones: the first of a list, and how many.
    @usableFromInline var spareStorage: Slot?
    @usableFromInline var spareStorageCount = 0
    /// An empty magazine of a shared pool, for when this part next overflows.
    var magazine: BatchStorage?
    let counters = Counters()

    // Everybody reads this block. 128 bytes on either side keep it off the others' pairs of cache
    // lines.

    private let gap1 = InlineArray<16, UInt64>(repeating: 0)
    /// Number of the thread that may allocate, or one of `Owner`'s words.
    @usableFromInline let owner: Atomic<UInt64>
    /// The bottom of the cache.
    @usableFromInline let base: Slot
    /// The first slot past the cache; the bottom of it while returns want attention; 0 while the
    /// owner is kept out.
    @usableFromInline let limit: AtomicSlot
    /// Where `top` was when the owner was kept out: as long as it is, the truth about the cache.
    let parkedTop: AtomicSlot
    /// What `top` has to be above for an allocation from a thread's part of a shared pool: the
    /// bottom of the cache, or no slot at all while that thread is kept out. Of no use in another
    /// pool.
    @usableFromInline let floor: AtomicSlot
    /// By which thread-local storage finds a thread's part of a shared pool; 0 in a pool with one
    /// owner.
    @usableFromInline let key: UInt64
    /// Whether this is a thread's part of a shared pool: the key is not 0. Apart from the key, so
    /// that a return to another kind of pool compares memory and loads nothing.
    @usableFromInline let isShared: Bool
    /// Slots of the cache.
    let capacity: Int
    /// Length below which the owner adds a buffer to the local list without asking; 0 in a pool
    /// with a ledger.
    let listCapacity: Int
    @usableFromInline let slabs: SlabTable
    /// The object that this state belongs to; it frees the state.
    let core: Unmanaged<PoolCore>
    /// Size of a buffer in bytes; 0 in a pool with a ledger, which cuts no fragment off the long
    /// way.
    @usableFromInline let fragmentedByteCount: Int

    private let gap2 = InlineArray<16, UInt64>(repeating: 0)

    // Other threads write this block.

    let queue: ReturnQueue
    private let gap3 = InlineArray<8, UInt64>(repeating: 0)

    init(
      base: Slot, capacity: Int, ringCapacity: Int, listCapacity: Int, owner: UInt64,
      slabs: consuming SlabTable,
      core: Unmanaged<PoolCore>, fragmentedByteCount: Int, key: UInt64 = 0
    ) {
      top = unsafe AtomicSlot(base)
      unsafe self.base = unsafe base
      limit = unsafe AtomicSlot(base + capacity)
      parkedTop = unsafe AtomicSlot(base)
      floor = unsafe AtomicSlot(base)
      self.key = key
      isShared = key != 0
      self.capacity = capacity
      self.listCapacity = listCapacity
      self.owner = Atomic(owner)
      self.slabs = slabs
      queue = ReturnQueue(capacity: ringCapacity)
      unsafe self.core = unsafe core
      self.fragmentedByteCount = fragmentedByteCount
    }

    /// What `owner` says when it is no thread's number.
    ///
    /// Never 0: that is what a thread has that never asked for a number.
    enum Owner {
      /// Closed: never again.
      static var closed: UInt64 { 1 }
      /// Handed over, or not yet claimed.
      static var nobody: UInt64 { 2 }
    }

    /// Whether the calling thread is the owner.
    @inlinable
    var isMine: Bool { owner.load(ordering: .relaxed) == cthreads_self() }

    /// Buffers on the cache's stack, for who is inside.
    var stackedCount: Int { unsafe top.load() - base }

    /// Buffers on the cache's stack. Exact on the owner thread, a snapshot elsewhere.
    private var visibleCount: Int {
      while true {
        let isKeptOut = owner.load(ordering: .acquiring) == Owner.closed
        let seen =
          unsafe isKeptOut && section.load(ordering: .acquiring) & Section.busy == 0
          ? parkedTop.acquire() : top.acquire()
        if let seen = unsafe seen { return unsafe max(0, min(capacity, seen - base)) }
        // The owner, another thread, is between the two stores of a return; in a forked child for
        // ever.
        if unsafe core._withUnsafeGuaranteedRef({ $0.isForked }) { return 0 }
        cthreads_yield()
      }
    }

    /// Buffers in the cache. Exact on the owner thread.
    var cachedCount: Int { visibleCount + wholeBatchCount.load(ordering: .relaxed) }
  }
}

extension PagePool.State {
  @usableFromInline typealias Reference = UnsafeMutablePointer<PagePool.State>

  /// The last holder gives a buffer up: into the cache if this is the owner thread and there is
  /// room. On the path of `fast_path` (Benchmarks/Thresholds/instructions.txt).
  @inlinable
  @inline(__always)
  static func put(_ record: UnsafeMutablePointer<NetIOV>) {
    var state = unsafe record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
    if unsafe _slowPath(!state.pointee.isMine) {
      // Not behind a call: each store there waits for the line of the ring that the buffer came by.
      let key = unsafe state.pointee.key
      guard unsafe state.pointee.isShared, cthreads_has(key) else {
        return unsafe putElsewhere(record, state)
      }
      unsafe state = here(key)
    }
    let top = unsafe state.pointee.beginReturn()
    guard unsafe _fastPath(state.pointee.limit.isAbove(top)) else {
      return unsafe putSlow(record, state, top)
    }
    unsafe top.initialize(to: RecordReference(record: record))
    unsafe state.pointee.top.publish(top + 1)
  }

  /// Takes `count` references away and returns the buffer if they were the last.
  static func drop(_ count: UInt32, of record: UnsafeMutablePointer<NetIOV>) {
    let left = unsafe record.pointee.referenceCount.wrappingSubtract(
      count, ordering: .acquiringAndReleasing)
    if left.newValue == 0 { unsafe putLast(record) }
  }

  /// A return on the owner thread that finds the cache full, or declared full, or was kept out
  /// meanwhile.
  /// - Parameter top: what `beginReturn` said.
  @usableFromInline
  @inline(never)
  static func putSlow(
    _ record: UnsafeMutablePointer<NetIOV>, _ state: Reference, _ top: Slot
  ) {
    // Only full, and the list is short: nothing is called out to, so the return is still one that
    // has begun.
    if unsafe state.pointee.limit.equals(state.pointee.base + state.pointee.capacity),
      unsafe state.pointee.localCount.load(ordering: .relaxed) < state.pointee.listCapacity
    {
      unsafe state.pointee.counters.cacheFull.addAsOnlyWriter(1)
      unsafe state.pointee.counters.ring.addAsOnlyWriter(1)
      unsafe pushLocal(record, state)
      return unsafe state.pointee.top.publish(top)
    }
    guard unsafe state.pointee.key == 0 else {
      unsafe state.pointee.top.publish(top)
      return unsafe putHereSlow(record, state)
    }
    guard unsafe enterFromReturn(state, top) else { return unsafe putElsewhere(record, state) }
    unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      unsafe core.putOnOwner(RecordReference(record: record), state)
    }
    unsafe leave(state)
  }

  /// A return on another thread that the queue refused: closed, or every return is wanted.
  @inline(never)
  fileprivate static func putAttended(
    _ record: UnsafeMutablePointer<NetIOV>, _ state: Reference
  ) {
    unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      unsafe core.putAttended(RecordReference(record: record), state)
    }
  }
}

/// One of several holders gives the buffer up; the last of them returns it.
@inlinable
@inline(__always)
func putShared(_ record: UnsafeMutablePointer<NetIOV>) {
  // Wrapping: nobody gives up what he does not hold, and a check would make one instruction a loop.
  let left = unsafe record.pointee.referenceCount.wrappingSubtract(
    1, ordering: .acquiringAndReleasing)
  if left.newValue == 0 { unsafe putLast(record) }
}

/// Returns a buffer whose last holders gave it up at the same time.
@usableFromInline
@inline(never)
func putLast(_ record: UnsafeMutablePointer<NetIOV>) {
  unsafe record.pointee.referenceCount.store(1, ordering: .relaxed)
  unsafe PagePool.State.put(record)
}

/// A return on another thread than the owner's, or of a shared pool's buffer on a thread without a
/// part at hand. On the path of `return_queue` (Benchmarks/Thresholds/instructions.txt).
///
/// Not a member: a static method gets a thunk of four instructions in front of it.
@usableFromInline
@inline(never)
func putElsewhere(_ record: UnsafeMutablePointer<NetIOV>, _ state: PagePool.State.Reference) {
  if unsafe !state.pointee.queue.pushAtOnce(record) { unsafe putElsewhereSlow(record, state) }
}

/// The same, where there is no room that is known of, or the queue is closed, as a shared pool's
/// always is, or wants attention.
@inline(never)
private func putElsewhereSlow(
  _ record: UnsafeMutablePointer<NetIOV>, _ state: PagePool.State.Reference
) {
  if unsafe state.pointee.isShared { return unsafe PagePool.State.putHereSlow(record, state) }
  guard unsafe !state.pointee.queue.push(record) else { return }
  unsafe PagePool.State.putAttended(record, state)
}
