// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

extension PagePool {
  /// What any thread may do with a pool: look, take tokens back, close. It does not keep the pool
  /// open.
  @safe
  public final class Remote: Sendable {
    // SAFETY: allocated and initialised by the core, which this object retains and which frees it.
    @usableFromInline nonisolated(unsafe) let state: UnsafeMutablePointer<State>
    let core: PagePoolCore

    init(_ core: PagePoolCore) {
      self.core = core
      unsafe state = core.state
    }

    /// Which pool this is: number and name.
    public var identity: Identity { core.identity }

    /// Size of every buffer of the pool, in bytes.
    public var iovByteCount: Int { core.iovByteCount }

    /// Whether the calling thread owns the pool.
    package var isOwnedByCurrentThread: Bool { unsafe state.pointee.isMine }

    /// Where the buffers are. Exact on the owner thread; elsewhere a snapshot.
    public var inFlight: InFlight { core.inFlight }

    /// What the pool has done so far. Exact on the owner thread; elsewhere a snapshot.
    public var statistics: Statistics { core.statistics }

    /// Every buffer that is out with where and when it was taken, oldest first; nil for a pool that
    /// was made while ``PagePool/isDebugging`` was off.
    public var holdings: [Holding]? { core.ledger?.holdings }

    /// Turns a token back into the buffer that was detached.
    /// - Throws: ``NetmemTokenError`` for a token of another pool, one that was reclaimed before,
    ///   or a made-up one. Nothing has changed then, but a counter.
    @inlinable
    public func reclaim(_ token: NetmemToken) throws(NetmemTokenError) -> Netmem {
      try unsafe State.reclaim(token, state)
    }

    /// Closes the pool and waits until the last buffer is back (`page_pool_destroy`).
    ///
    /// Cached buffers go back to the provider at once (or when the owner leaves a callback that it
    /// is in), the others as they die; allocating returns nil from now on. May be awaited more than
    /// once, from any thread or task. Cancelling the task does not cut the wait short.
    /// - Parameter limit: how long to wait at most; nil = until the last buffer is back.
    /// - Throws: ``PagePoolError/stillHeld(_:)`` when the time is up: the pool is closed and goes
    ///   on waiting by itself; the error says who holds what, as far as a ledger knows.
    ///   ``PagePoolError/forked`` in a child of the process that made the pool.
    public nonisolated(nonsending) func close(
      waitingAtMost limit: Duration? = nil
    ) async throws(PagePoolError) {
      try await core.close(waitingAtMost: limit)
    }

    /// Closes the pool and calls `whenDrained` when the last buffer is back: at once on this thread
    /// if none is out, else on the thread where the last one dies. In a forked child nothing
    /// happens.
    public func close(whenDrained: @escaping @Sendable () -> Void) {
      core.close(whenDrained: whenDrained)
    }

    /// Makes the calling thread the owner of a pool whose owner has ended without handing it over.
    /// - Throws: ``PagePoolError/ownedByAnotherThread`` while that thread runs or nobody owns the
    ///   pool, ``PagePoolError/closed``; ``PagePoolError/forked`` in a child of the process that
    ///   made the pool.
    public func claimFromEndedThread() throws(PagePoolError) -> PagePool {
      guard !core.isForked else { throw .forked }
      let number = cthreads_enter()
      let seen = unsafe state.pointee.owner.load(ordering: .acquiring)
      guard seen != State.Owner.closed, let pool = core.user.withLock({ $0.pool }) else {
        throw .closed
      }
      guard seen != State.Owner.nobody, number != PoolCore.endingThread,
        !cthreads_is_running(seen),
        unsafe state.pointee.owner.compareExchange(
          expected: seen, desired: number, ordering: .acquiringAndReleasing
        ).exchanged
      else { throw .ownedByAnotherThread }
      return pool
    }
  }
}
