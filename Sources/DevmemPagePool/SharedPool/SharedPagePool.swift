// SPDX-License-Identifier: Apache-2.0

public import CThreads
public import Synchronization

/// A pool of equal buffers that any thread, task or actor may allocate from.
///
/// Behind it each thread has a part of its own, made at the thread's first use and given back at
/// its end (what an lcore's cache is to a DPDK mempool). Parts exchange buffers through a depot, a
/// refill at a time, under a lock; the depot gets them from the provider. Before an allocation
/// fails, what other threads' caches hold is called back: no thread goes without while another one
/// has free buffers.
///
/// A buffer that dies joins the part of the thread that it dies on, whoever allocated it. The calls
/// that stay in the caller's part take no lock and no atomic operation.
///
/// For one consumer on one thread ``PagePool`` is the faster one, and has fragments and a node.
///
/// A pool whose last reference goes closes itself; its memory stays until the last buffer is back.
@safe
public final class SharedPagePool: Sendable {
  @usableFromInline let key: UInt64
  let core: SharedPoolCore

  deinit { core.beginClosing() }

  /// Makes a pool.
  /// - Parameters:
  ///   - provider: where the buffers come from.
  ///   - configuration: `cacheCapacity` is that of each thread's part, `refillCount` what moves
  ///     between a part and the depot at a time, `ringCapacity` what the depot keeps. No `node`, no
  ///     `tunesRefill`.
  /// - Throws: ``PagePoolError`` for a configuration that cannot be, or what the provider's
  ///   `attach` throws. Nothing is left behind then.
  public init(
    provider: any MemoryProvider,
    configuration: PagePool.Configuration = PagePool.Configuration()
  ) throws {
    core = try SharedPoolCore(provider: provider, configuration: configuration)
    key = core.key
  }

  // MARK: Allocation

  /// Takes a buffer, or nil when there is none (the statistics say why). Any thread.
  ///
  /// Never throws. With a buffer in the thread's cache it takes no lock: this, the return and the
  /// loop around them are 32 instructions (`shared_fast_path`, held by `make check`). Else it takes
  /// the pool's lock, and may call the provider and interrupt the process's other threads, by
  /// membarrier(2).
  /// - Parameters:
  ///   - priority: `.critical` may take from the reserve when all else is exhausted.
  ///   - fileID: where the call stands, for pools with a ledger (`PagePool.isDebugging`).
  ///   - line: the same.
  /// - Precondition: this is not a forked child of the process that made the pool.
  @inlinable
  @inline(__always)
  public func allocate(
    _ priority: PagePool.Priority = .normal, fileID: StaticString = #fileID, line: UInt = #line
  ) -> Netmem? {
    guard _fastPath(cthreads_has(key)) else {
      return allocateSlow(priority, PagePool.CallSite(fileID, line))
    }
    let state = unsafe PagePool.State.here(key)
    unsafe state.pointee.beginAllocation()
    let top = unsafe state.pointee.top.load()
    guard unsafe _fastPath(state.pointee.floor.isBelow(top)) else {
      unsafe state.pointee.endAllocation(0)
      return allocateSlow(priority, PagePool.CallSite(fileID, line))
    }
    let record = unsafe (top - 1).pointee.record
    unsafe state.pointee.top.store(top - 1)
    unsafe state.pointee.endAllocation(1)
    // A buffer that dies on this thread takes the shortest way if it says that it came from here.
    if unsafe record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped != state {
      unsafe record.pointee.pool.store(state, ordering: .relaxed)
    }
    return unsafe Netmem(record: record)
  }

  /// Takes up to `count` buffers; fewer, or none, when there are no more. Any thread.
  ///
  /// What is left in the batch when it dies goes back in bulk.
  /// - Precondition: `count` is at least 1; this is not a forked child of the process that made the
  ///   pool.
  @inlinable
  public func allocateBatch(
    _ count: Int, fileID: StaticString = #fileID, line: UInt = #line
  ) -> NetmemBatch {
    guard cthreads_has(key) else {
      return allocateBatchSlow(count, PagePool.CallSite(fileID, line))
    }
    let state = unsafe PagePool.State.here(key)
    unsafe state.pointee.beginAllocation()
    if unsafe !state.pointee.limit.isNull {
      if let storage = unsafe state.pointee.takeWholeBatch(of: count) {
        unsafe state.pointee.endAllocation(count)
        return unsafe NetmemBatch(storage: storage, count: count, pool: state)
      }
      let top = unsafe state.pointee.top.load()
      if count <= BatchStorage.keptCapacity, count > 0, unsafe top - count >= state.pointee.base,
        let storage = unsafe state.pointee.takeStorage()
      {
        let bottom = unsafe top - count
        unsafe storage.slots.update(from: bottom, count: count)
        unsafe state.pointee.top.store(bottom)
        unsafe state.pointee.endAllocation(count)
        return unsafe NetmemBatch(storage: storage, count: count, pool: state)
      }
    }
    unsafe state.pointee.endAllocation(0)
    return allocateBatchSlow(count, PagePool.CallSite(fileID, line))
  }

  /// Takes a buffer, waiting for one to come back if there is none. Any task.
  ///
  /// No polling: whoever returns the next buffer, on whatever thread, hands it over. Waiting tasks
  /// are served in their order. As long as a task waits, the threads' caches are out of use, so
  /// that every return passes the one who waits. Only buffers that this pool has out can come;
  /// those that another pool gives back to a shared provider are noticed at the next allocation.
  /// - Parameters:
  ///   - limit: how long to wait at most; nil = until one comes.
  ///   - fileID: where the call stands, for pools with a ledger.
  ///   - line: the same.
  /// - Throws: `CancellationError` when the task is cancelled, ``PagePoolError/timedOut``,
  ///   ``PagePoolError/closed``, ``PagePoolError/forked``. A buffer that was handed over at that
  ///   very moment goes back to the pool: nothing is lost.
  public nonisolated(nonsending) func allocate(
    waiting limit: Duration?, fileID: StaticString = #fileID, line: UInt = #line
  ) async throws -> Netmem {
    switch core.expectWaiter(PagePool.CallSite(fileID, line)) {
    case .number(let number):
      return unsafe Netmem(record: try await core.awaitBuffer(number, limit).record)
    case .buffer(let iov): return unsafe Netmem(record: iov.record)
    case .refused(let error): throw error
    }
  }

  @usableFromInline
  @inline(never)
  func allocateSlow(_ priority: PagePool.Priority, _ site: PagePool.CallSite) -> Netmem? {
    guard let iov = core.takeOne(priority, site) else { return nil }
    return unsafe Netmem(record: iov.record)
  }

  @usableFromInline
  @inline(never)
  func allocateBatchSlow(_ count: Int, _ site: PagePool.CallSite) -> NetmemBatch {
    precondition(count > 0, "a batch of at least one buffer")
    // There are no more buffers than that: whoever asks for Int.max means all.
    let most = min(count, core.slabs.reduce(0) { $0 + $1.iovCount })
    let storage = BatchStorage.allocate(capacity: max(most, BatchStorage.keptCapacity))
    let taken = unsafe core.take(most, to: storage.slots, site)
    if taken < count { core.countNothing(.normal) }
    let part = unsafe taken > 0 ? core.partHere() : nil
    return unsafe NetmemBatch(storage: storage, count: taken, pool: part)
  }

  // MARK: What else there is to do

  /// Which pool this is: number and name.
  public var identity: PagePool.Identity { core.identity }
  /// Size of every buffer of the pool, in bytes.
  public var iovByteCount: Int { core.iovByteCount }
  /// Where the buffers are; exact while no other thread uses the pool. Any thread.
  public var inFlight: PagePool.InFlight { core.inFlight }
  /// What all threads have done so far; exact while no other thread uses the pool. Any thread.
  public var statistics: PagePool.Statistics { core.statistics }
  /// Every buffer that is out with where and when it was taken, oldest first; nil for a pool that
  /// was made while `PagePool.isDebugging` was off. Any thread.
  public var holdings: [PagePool.Holding]? { core.ledger?.holdings }

  /// Turns a token back into the buffer that was detached. Any thread; on the one that the buffer
  /// was allocated on it takes no lock.
  /// - Throws: ``NetmemTokenError`` for a token of another pool, one that was reclaimed before, or
  ///   a made-up one, and for every token in a forked child. Nothing has changed then, but a
  ///   counter.
  @inlinable
  public func reclaim(_ token: NetmemToken) throws(NetmemTokenError) -> Netmem {
    guard cthreads_has(key) else { return try unsafe PagePool.State.reclaimSlow(token, home) }
    return try unsafe PagePool.State.reclaim(token, PagePool.State.here(key))
  }

  @usableFromInline var home: PagePool.State.Reference { unsafe core.home }

  /// Closes the pool and waits until the last buffer is back (`page_pool_destroy`).
  ///
  /// What lies in caches goes back to the provider at once, the others as they die; allocating
  /// returns nil from now on. May be awaited more than once, from any thread or task. Cancelling
  /// the task does not cut the wait short.
  /// - Parameter limit: how long to wait at most; nil = until the last buffer is back.
  /// - Throws: ``PagePoolError/stillHeld(_:)`` when the time is up: the pool is closed and goes on
  ///   waiting by itself; the error says who holds what, as far as a ledger knows.
  ///   ``PagePoolError/forked`` in a child of the process that made the pool.
  public nonisolated(nonsending) func close(
    waitingAtMost limit: Duration? = nil
  ) async throws(PagePoolError) {
    try await core.close(waitingAtMost: limit)
  }

  /// Closes the pool and calls `whenDrained` when the last buffer is back: at once on this thread
  /// if none is out, else on the thread where the last one dies. In a forked child nothing happens.
  public func close(whenDrained: @escaping @Sendable () -> Void) {
    core.close(whenDrained: whenDrained)
  }
}
