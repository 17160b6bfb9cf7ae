// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// A pool of equal buffers with one consumer (`struct page_pool`).
///
/// One thread allocates, the owner: the thread that made the pool, until it hands the pool over
/// with ``relinquish()`` and another thread takes it with ``claim()``. Allocating anywhere else
/// traps. Buffers (``Netmem``) may die on any thread.
///
/// Allocation tries the cache (a stack, last in first out), then what came back from other threads,
/// then the provider, 64 buffers at a time. Mirrors net/core/page_pool.c.
///
/// A pool that is dropped without ``close(waitingAtMost:)`` closes itself; its memory stays until the last buffer
/// is back.
@safe
public final class PagePool: @unchecked Sendable {
  // SAFETY: allocated and initialised by the core, which this object retains and which frees it.
  @usableFromInline let state: UnsafeMutablePointer<State>
  let core: PagePoolCore

  deinit { core.abandon() }

  /// Makes a pool that belongs to the calling thread (`page_pool_create`).
  /// - Parameters:
  ///   - provider: where the buffers come from.
  ///   - configuration: sizes of cache, refill and list, node and name.
  /// - Throws: ``PagePoolError`` for a configuration that cannot be, or what the provider's
  ///   `attach` throws. Nothing is left behind then.
  public init(
    provider: any MemoryProvider, configuration: Configuration = Configuration()
  ) throws {
    core = try PagePoolCore(provider: provider, configuration: configuration)
    unsafe state = unsafe core.state
  }

  /// Which pool this is: number and name.
  public var identity: Identity { core.identity }

  /// Size of every buffer of the pool, in bytes.
  public var iovByteCount: Int { core.iovByteCount }

  // MARK: Allocation

  /// Takes a buffer, or nil when there is none (the statistics say why). Owner thread only.
  ///
  /// Never throws, blocks or allocates memory. Budget: 14 instructions when the cache has one.
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
    guard unsafe state.pointee.isMine else { return unsafe State.allocateNotOwner(state) }
    let top = unsafe state.pointee.top.load()
    guard unsafe top != state.pointee.base else {
      return unsafe State.allocateSlow(state, priority, CallSite(fileID, line))
    }
    unsafe state.pointee.top.store(top - 1)
    unsafe state.pointee.fast.addAsOnlyWriter(1)
    return unsafe Netmem(record: (top - 1).pointee.record)
  }

  /// Takes up to `count` buffers; fewer, or none, when there are no more. Owner thread only.
  ///
  /// What is left in the batch when it dies goes back in bulk. Budget with that, for 64 through the cache:
  /// 2 instructions a buffer if it finds the last batch that came back, which is kept whole for who wants as
  /// many again (held by `make check`); about 4 where each buffer is copied.
  /// - Precondition: the calling thread owns the pool; `count` is at least 1.
  @inlinable
  public func allocateBatch(
    _ count: Int, fileID: StaticString = #fileID, line: UInt = #line
  ) -> NetmemBatch {
    let state = unsafe self.state
    let site = CallSite(fileID, line)
    guard unsafe state.pointee.isMine else {
      return unsafe State.allocateBatchSlow(state, count, site)
    }
    if let storage = unsafe state.pointee.takeWholeBatch(of: count) {
      unsafe state.pointee.fast.addAsOnlyWriter(UInt64(truncatingIfNeeded: count))
      return unsafe NetmemBatch(storage: storage, count: count, pool: state)
    }
    let top = unsafe state.pointee.top.load()
    let bottom = unsafe top - count
    guard count <= BatchStorage.keptCapacity, count > 0,
      unsafe bottom >= state.pointee.base, let storage = unsafe state.pointee.takeStorage()
    else { return unsafe State.allocateBatchSlow(state, count, site) }
    unsafe storage.slots.update(from: bottom, count: count)
    unsafe state.pointee.top.store(bottom)
    unsafe state.pointee.fast.addAsOnlyWriter(UInt64(truncatingIfNeeded: count))
    return unsafe NetmemBatch(storage: storage, count: count, pool: state)
  }

  // MARK: Tokens

  /// Turns a token back into the buffer that was detached. Any thread.
  /// - Throws: ``NetmemTokenError`` for a token of another pool, one that was reclaimed before, or
  ///   a made-up one. Nothing has changed then, but a counter.
  public func reclaim(_ token: NetmemToken) throws(NetmemTokenError) -> Netmem {
    try unsafe State.reclaim(token, state)
  }

  // MARK: Ownership

  /// Whether the calling thread owns the pool.
  @inlinable
  public var isOwnedByCurrentThread: Bool { unsafe state.pointee.isMine }

  /// Gives the pool up, so that another thread can ``claim()`` it. Until then nobody can allocate,
  /// and every buffer that dies goes onto the return queue.
  /// - Precondition: the calling thread owns the pool.
  public func relinquish() {
    precondition(isOwnedByCurrentThread, "only the owner thread can relinquish a PagePool")
    unsafe state.pointee.owner.store(0, ordering: .releasing)
  }

  /// Makes the calling thread the owner. Nothing happens if it is already.
  /// - Throws: ``PagePoolError/ownedByAnotherThread`` until the present owner has called
  ///   ``relinquish()``, ``PagePoolError/closed`` after close.
  public func claim() throws(PagePoolError) {
    let (exchanged, original) = unsafe state.pointee.owner.compareExchange(
      expected: 0, desired: cthread_identity(), ordering: .acquiringAndReleasing)
    if exchanged || original == cthread_identity() { return }
    throw original == State.closedOwner ? .closed : .ownedByAnotherThread
  }

  // MARK: Closing

  /// Closes the pool and waits until the last buffer is back (`page_pool_destroy`).
  ///
  /// Cached buffers go back to the provider at once, the others as they die; allocating returns nil
  /// from now on. May be awaited more than once. It runs on the caller's executor: call it on the
  /// owner thread, or after ``relinquish()``. Cancelling the task does not cut the wait short.
  /// - Parameter limit: how long to wait at most; nil = until the last buffer is back.
  /// - Throws: ``PagePoolError/ownedByAnotherThread``; the pool is then still open.
  ///   ``PagePoolError/stillHeld(_:)`` when the time is up: the pool is closed and goes on waiting by
  ///   itself; the error says who holds what, as far as a ledger knows.
  public nonisolated(nonsending) func close(
    waitingAtMost limit: Duration? = nil
  ) async throws(PagePoolError) {
    try core.beginClosing()
    let core = self.core
    let isDrained = await withCheckedContinuation { continuation in
      let number = core.whenDrained { continuation.resume(returning: $0) }
      guard let limit, number != 0 else { return }
      Task {
        try? await Task.sleep(for: limit)
        core.stopWaiting(number)
      }
    }
    guard isDrained else { throw .stillHeld(PagePoolRegistry.report(core)) }
  }

  /// Closes the pool and calls `whenDrained` when the last buffer is back: at once on this thread if
  /// none is out, else on the thread where the last one dies.
  /// - Throws: ``PagePoolError/ownedByAnotherThread``; the pool is then still open.
  public func close(whenDrained: @escaping @Sendable () -> Void) throws(PagePoolError) {
    try core.beginClosing()
    core.whenDrained { _ in whenDrained() }
  }

  // MARK: Introspection

  /// Every buffer that is out with where and when it was taken, oldest first; nil for a pool that was
  /// made while ``isDebugging`` was off. Any thread.
  public var holdings: [Holding]? { core.ledger?.holdings }

  /// Where the buffers are. Exact on the owner thread; elsewhere a snapshot.
  public var inFlight: InFlight { core.inFlight }

  /// What the pool has done so far. Exact on the owner thread; elsewhere a snapshot.
  public var statistics: Statistics { core.statistics }

  /// The NUMA node that buffers should lie on, nil = any (`page_pool_update_nid`). Owner thread only.
  ///
  /// After a change, buffers of other nodes that come back are given back to the provider and counted
  /// as `waive`; those in the cache go back at once.
  /// - Precondition: the calling thread owns the pool.
  public var node: Int? {
    get { core.node }
    set { core.changeNode(to: newValue) }
  }
}

/// Why a pool could not be made, claimed or closed.
public enum PagePoolError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Another thread owns the pool.
  case ownedByAnotherThread
  /// The pool was closed.
  case closed
  /// No buffer came back in the time that an allocation may wait.
  case timedOut
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
      "another thread owns the pool: call relinquish() there first"
    case .closed:
      "the pool is closed: make a new one"
    case .timedOut:
      "no buffer came back in time: wait longer, hold fewer, or use a larger provider"
    case .stillHeld(let report):
      "buffers were still out when the time to wait was up:\n\(report)"
    case .invalidConfiguration(let what):
      what
    case .mixedIOVByteCounts(let counts):
      "a provider's slabs must all have one IOV size, but this one has \(counts)"
    }
  }
}
