// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// A pool of equal buffers with one consumer (`struct page_pool`): the right to allocate from it.
///
/// One thread allocates, the owner: the one that made the pool, until it hands the right over
/// (``relinquish()``, a value that another thread claims). A PagePool is not `Sendable`, so the
/// compiler refuses what would bring it to a second thread; where it cannot see that (a task that
/// continued on another thread after an `await`), allocating traps and says what to do. Any number
/// of objects on the owner's thread may share one pool.
///
/// What any thread may do is on ``remote``, which is `Sendable`. Buffers (``Netmem``) may die on
/// any thread. An actor that owns a pool runs on a `SingleThreadExecutor`.
///
/// Allocation tries the cache (a stack, last in first out), then what came back from other threads,
/// then the provider, 64 buffers at a time. Mirrors net/core/page_pool.c.
///
/// A pool whose last reference goes, on whatever thread, closes itself; its memory stays until the
/// last buffer is back.
@safe
public final class PagePool {
  // SAFETY: allocated and initialised by the core, which this object retains and which frees it.
  @usableFromInline let state: UnsafeMutablePointer<State>
  let core: PagePoolCore
  /// What any thread may do with the pool.
  public let remote: Remote

  deinit { core.beginClosing() }

  /// Makes a pool that belongs to the calling thread (`page_pool_create`).
  /// - Parameters:
  ///   - provider: where the buffers come from.
  ///   - configuration: sizes of cache, refill and list, node and name.
  /// - Throws: ``PagePoolError`` for a configuration that cannot be, or on a thread that is in its
  ///   last destructors; or what the provider's `attach` throws. Nothing is left behind then.
  public init(
    provider: any MemoryProvider, configuration: Configuration = Configuration()
  ) throws {
    core = try PagePoolCore(provider: provider, configuration: configuration)
    unsafe state = core.state
    remote = Remote(core)
    core.remember(self)
  }

  // MARK: Allocation

  /// Takes a buffer, or nil when there is none (the statistics say why). Owner thread only.
  ///
  /// Never throws, blocks or allocates memory. When the cache has one, this, the return and a loop
  /// around them take 28 instructions (`fast_path`, held by `make check`).
  /// - Parameters:
  ///   - priority: `.critical` may take from the reserve when all else is exhausted.
  ///   - fileID: where the call stands, for pools with a ledger (``isDebugging``).
  ///   - line: the same.
  /// - Precondition: the calling thread owns the pool.
  @inlinable
  public func allocate(
    _ priority: Priority = .normal, fileID: StaticString = #fileID, line: UInt = #line
  ) -> Netmem? {
    let state = unsafe self.state
    unsafe state.pointee.beginAllocation()
    guard unsafe _fastPath(state.pointee.isMine) else {
      return unsafe State.allocateNotOwner(state)
    }
    let top = unsafe state.pointee.top.load()
    guard unsafe _fastPath(top != state.pointee.base) else {
      return unsafe State.allocateSlow(state, priority, CallSite(fileID, line))
    }
    let record = unsafe (top - 1).pointee.record
    unsafe state.pointee.top.store(top - 1)
    unsafe state.pointee.endAllocation(1)
    return unsafe Netmem(record: record)
  }

  /// Takes up to `count` buffers; fewer, or none, when there are no more. Owner thread only.
  ///
  /// What is left in the batch when it dies goes back in bulk. The last batch that came back is
  /// kept whole for whoever wants as many again: batches of 64 that go round like that cost 1.1
  /// instructions (`bulk_64`) a buffer, return and loop included.
  /// - Precondition: the calling thread owns the pool; `count` is at least 1.
  @inlinable
  @inline(__always)
  public func allocateBatch(
    _ count: Int, fileID: StaticString = #fileID, line: UInt = #line
  ) -> NetmemBatch {
    let state = unsafe self.state
    unsafe state.pointee.beginAllocation()
    guard unsafe _fastPath(state.pointee.isMine) else {
      _ = unsafe State.allocateNotOwner(state)
      return NetmemBatch(capacity: 1)
    }
    if let storage = unsafe state.pointee.takeWholeBatch(of: count) {
      unsafe state.pointee.endAllocation(count)
      return unsafe NetmemBatch(storage: storage, count: count, pool: state)
    }
    let top = unsafe state.pointee.top.load()
    guard count <= BatchStorage.keptCapacity, count > 0,
      unsafe top - count >= state.pointee.base, let storage = unsafe state.pointee.takeStorage()
    else { return unsafe State.allocateBatchSlow(state, count, CallSite(fileID, line)) }
    let bottom = unsafe top - count
    unsafe storage.slots.update(from: bottom, count: count)
    unsafe state.pointee.top.store(bottom)
    unsafe state.pointee.endAllocation(count)
    return unsafe NetmemBatch(storage: storage, count: count, pool: state)
  }

  /// The NUMA node that buffers should lie on, nil = any (`page_pool_update_nid`). Owner thread
  /// only.
  ///
  /// After a change, buffers of other nodes that come back are given back to the provider and
  /// counted as `waive`; those in the cache go back at once. On a pool that is closed, or is being
  /// closed on another thread, nothing happens.
  /// - Precondition: the calling thread owns the pool.
  public var node: Int? {
    get { core.node }
    set {
      let isDone: Void? = unsafe State.inside(state) { core.changeNode(to: newValue) }
      if isDone == nil, unsafe state.pointee.owner.load(ordering: .relaxed) != State.Owner.closed {
        core.trapNotOwner("a change of the node")
      }
    }
  }

  // MARK: Ownership

  /// Whether the calling thread owns the pool.
  @inlinable
  public var isOwnedByCurrentThread: Bool { unsafe state.pointee.isMine }

  /// Gives the right to allocate up, as a value that another thread claims. Until then nobody can
  /// allocate, and every buffer that dies goes onto the return queue. A pool that is closed, or is
  /// being closed on another thread, stays so.
  /// - Precondition: the calling thread owns the pool, and is not in one of its callbacks.
  public func relinquish() -> Ownership {
    precondition(
      unsafe !isOwnedByCurrentThread
        || state.pointee.section.load(ordering: .relaxed) & State.Section.busy == 0,
      "a PagePool cannot be relinquished in one of its callbacks")
    // Whoever closes the pool writes the same word: that must not be lost.
    let (isMine, owner) = unsafe state.pointee.owner.compareExchange(
      expected: cthreads_self(), desired: State.Owner.nobody, ordering: .acquiringAndReleasing)
    if !isMine && owner != State.Owner.closed { core.trapNotOwner("relinquish()") }
    return Ownership(self)
  }

  /// The right to allocate from a pool, on its way between threads: whoever claims it has it, and
  /// it cannot be held twice. If it ends unclaimed, the pool is closed.
  @safe
  public struct Ownership: ~Copyable, @unchecked Sendable {
    // SAFETY: nobody owns the pool meanwhile: what references to it are left elsewhere can do
    // nothing that looks at the owner's block.
    private var pool: PagePool?

    fileprivate init(_ pool: PagePool) { self.pool = pool }

    deinit { pool?.core.beginClosing() }

    /// What any thread may do with the pool; nil only after ``claim()``.
    public var remote: Remote? { pool?.remote }

    /// Makes the calling thread the owner. A pool that was closed meanwhile stays closed: it
    /// allocates nothing. In a forked child nobody becomes the owner, and allocating traps. A
    /// thread that is in its last destructors (pthread_key_create(3)) can own nothing: the pool
    /// closes.
    public consuming func claim() -> PagePool {
      guard let claimed = pool.take() else { fatalError("an ownership is claimed once") }
      if claimed.core.isForked { return claimed }
      let number = cthreads_enter()
      guard number != PoolCore.endingThread else {
        claimed.core.beginClosing()
        return claimed
      }
      _ = unsafe claimed.state.pointee.owner.compareExchange(
        expected: State.Owner.nobody, desired: number, ordering: .acquiringAndReleasing)
      return claimed
    }
  }
}

/// What any thread may do with it, spelled shorter.
extension PagePool {
  /// Which pool this is: number and name.
  public var identity: Identity { core.identity }
  /// Size of every buffer of the pool, in bytes.
  public var iovByteCount: Int { core.iovByteCount }
  /// See ``Remote/inFlight``; exact on the owner thread.
  public var inFlight: InFlight { core.inFlight }
  /// See ``Remote/statistics``; exact on the owner thread.
  public var statistics: Statistics { core.statistics }
  /// See ``Remote/holdings``.
  public var holdings: [Holding]? { core.ledger?.holdings }

  /// See ``Remote/reclaim(_:)``.
  @inlinable
  public func reclaim(_ token: NetmemToken) throws(NetmemTokenError) -> Netmem {
    try remote.reclaim(token)
  }
  /// See ``Remote/close(waitingAtMost:)``.
  public nonisolated(nonsending) func close(
    waitingAtMost limit: Duration? = nil
  ) async throws(PagePoolError) {
    try await core.close(waitingAtMost: limit)
  }
  /// See ``Remote/close(whenDrained:)``.
  public func close(whenDrained: @escaping @Sendable () -> Void) {
    remote.close(whenDrained: whenDrained)
  }
}

/// Why a pool could not be made, claimed or closed.
public enum PagePoolError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Another thread owns the pool, or the calling one is ending and can own none.
  case ownedByAnotherThread
  /// The pool was closed.
  case closed
  /// No buffer came back in the time that an allocation may wait.
  case timedOut
  /// This is a forked child of the process that made the pool.
  case forked
  /// Buffers were still out when the time that a close may wait was up; with a report.
  case stillHeld(String)
  /// A number of the configuration is out of range.
  case invalidConfiguration(String)
  /// The provider's slabs do not all have the same IOV size, or there is none.
  case mixedIOVByteCounts([Int])

  /// What is wrong and what to do.
  public var description: String {
    switch self {
    case .ownedByAnotherThread:
      "another thread owns the pool: hand it over with relinquish() there and claim() here, or "
        + "keep its user on one thread (an actor on a SingleThreadExecutor)"
    case .closed:
      "the pool is closed: make a new one"
    case .timedOut:
      "no buffer came back in time: wait longer, hold fewer, or use a larger provider"
    case .forked:
      "this is a forked child, and the pool's memory is its parent's, which goes on handing it "
        + "out: make a provider and a pool of the child's own"
    case .stillHeld(let report):
      "buffers were still out when the time to wait was up:\n\(report)"
    case .invalidConfiguration(let what):
      what
    case .mixedIOVByteCounts(let counts):
      "a provider's slabs must all have one IOV size, but this one has \(counts)"
    }
  }
}
