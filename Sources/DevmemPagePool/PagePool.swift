// SPDX-License-Identifier: Apache-2.0

public import CThreadIdentity
public import Synchronization

/// A pool of equal buffers with one consumer (`struct page_pool`).
///
/// One thread allocates, the owner: the thread that made the pool, until it hands the pool over
/// with ``relinquish()`` and another thread takes it with ``claim()``. Allocating anywhere else
/// traps. Buffers (``Netmem``) may die on any thread.
///
/// Allocation tries the cache (a stack, last in first out), then what came back from other threads,
/// then the provider, 64 buffers at a time. Mirrors net/core/page_pool.c.
///
/// A pool that is dropped without ``close()`` closes itself; its memory stays until the last buffer
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
  /// - Precondition: the calling thread owns the pool.
  @inlinable
  public func allocate() -> Netmem? {
    let state = unsafe self.state
    guard unsafe state.pointee.owner.load(ordering: .relaxed) == cthread_identity() else {
      return unsafe State.allocateNotOwner(state)
    }
    let top = unsafe state.pointee.top.load()
    guard unsafe top != state.pointee.base else { return unsafe State.allocateSlow(state) }
    unsafe state.pointee.top.store(top - 1)
    unsafe state.pointee.fast.addAsOnlyWriter(1)
    return unsafe Netmem(record: (top - 1).pointee.record)
  }

  /// Appends buffers until `span` is full or the pool is exhausted. Owner thread only.
  /// - Returns: how many were appended.
  /// - Precondition: the calling thread owns the pool.
  @inlinable
  @discardableResult
  public func allocateBatch(into span: inout OutputSpan<Netmem>) -> Int {
    let before = span.count
    while !span.isFull {
      guard let netmem = allocate() else { break }
      span.append(netmem)
    }
    return span.count - before
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
  public var isOwnedByCurrentThread: Bool {
    unsafe state.pointee.owner.load(ordering: .relaxed) == cthread_identity()
  }

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
  /// - Throws: ``PagePoolError/ownedByAnotherThread``; the pool is then still open.
  public nonisolated(nonsending) func close() async throws(PagePoolError) {
    try core.beginClosing()
    await withCheckedContinuation { continuation in
      core.whenDrained { continuation.resume() }
    }
  }

  /// Closes the pool and calls `whenDrained` when the last buffer is back: at once on this thread if
  /// none is out, else on the thread where the last one dies.
  /// - Throws: ``PagePoolError/ownedByAnotherThread``; the pool is then still open.
  public func close(whenDrained: @escaping @Sendable () -> Void) throws(PagePoolError) {
    try core.beginClosing()
    core.whenDrained(whenDrained)
  }

  // MARK: Introspection

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
    case .invalidConfiguration(let what):
      what
    case .mixedIOVByteCounts(let counts):
      "a provider's slabs must all have one IOV size, but this one has \(counts)"
    }
  }
}
