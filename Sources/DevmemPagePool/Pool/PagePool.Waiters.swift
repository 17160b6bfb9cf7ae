// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

extension PagePool {
  /// Takes a buffer, waiting for one to come back if there is none.
  ///
  /// No polling: whoever returns the next buffer, on whatever thread, hands it over. Waiting tasks
  /// are served in their order. Only buffers that this pool has out can come; those that another
  /// pool gives back to a shared provider are noticed at the next allocation. Runs on the caller's
  /// executor, which must be on the owner thread when it calls: an actor on a
  /// `SingleThreadExecutor`. Elsewhere it throws.
  /// - Parameters:
  ///   - limit: how long to wait at most; nil = until one comes.
  ///   - fileID: where the call stands, for pools with a ledger (``PagePool/isDebugging``).
  ///   - line: the same.
  /// - Throws: `CancellationError` when the task is cancelled, ``PagePoolError/timedOut``,
  ///   ``PagePoolError/closed``, ``PagePoolError/ownedByAnotherThread``, ``PagePoolError/forked``.
  ///   A buffer that was handed over at that very moment goes back to the pool: nothing is lost.
  public nonisolated(nonsending) func allocate(
    waiting limit: Duration?, fileID: StaticString = #fileID, line: UInt = #line
  ) async throws -> Netmem {
    let core = self.core
    // All that only the owner thread may do comes before the first suspension: what follows may run
    // anywhere.
    let number: UInt64
    switch core.expectWaiter(CallSite(fileID, line)) {
    case .number(let taken): number = taken
    case .buffer(let iov): return unsafe Netmem(record: iov.record)
    case .refused(let error): throw error
    }
    return unsafe Netmem(record: try await core.awaitBuffer(number, limit).record)
  }
}

extension PoolCore {
  /// Waits for the outcome of a wait that has begun.
  nonisolated(nonsending) func awaitBuffer(
    _ number: UInt64, _ limit: Duration?
  ) async throws -> RecordReference {
    let timer = limit.map { limit in
      Task { [weak self] in
        try await Task.sleep(for: limit)
        self?.resolveWaiter(number, .timedOut)
      }
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        attachWaiter(number, continuation)
      }
    } onCancel: {
      resolveWaiter(number, .cancelled)
    }
    timer?.cancel()
    switch outcome {
    case .buffer(let iov): return iov
    case .cancelled: throw CancellationError()
    case .timedOut: throw PagePoolError.timedOut
    case .closed: throw PagePoolError.closed
    }
  }

  enum WaiterOutcome: Sendable {
    case buffer(RecordReference)
    case cancelled
    case timedOut
    case closed
  }

  /// How a wait begins.
  enum Expectation {
    case number(UInt64)
    case buffer(RecordReference)
    case refused(PagePoolError)
  }

  /// The tasks that wait for a buffer, first come first. A wait begins when its number is taken;
  /// the continuation comes later, perhaps after the outcome.
  struct WaiterList {
    private struct Waiter {
      var number: UInt64
      var site: PagePool.CallSite
      var continuation: CheckedContinuation<WaiterOutcome, Never>?
      var outcome: WaiterOutcome?
    }

    private var lastNumber: UInt64 = 0
    private var waiters: [Waiter] = []
    private(set) var isClosed = false

    /// Waits without an outcome.
    var count: Int { waiters.count { $0.outcome == nil } }

    mutating func expect(_ site: PagePool.CallSite) -> UInt64 {
      lastNumber += 1
      waiters.append(Waiter(number: lastNumber, site: site))
      return lastNumber
    }

    /// Takes a wait back that has not been suspended. Returns the outcome if it had one already.
    mutating func withdraw(_ number: UInt64) -> WaiterOutcome? {
      guard let position = waiters.firstIndex(where: { $0.number == number }) else { return nil }
      return waiters.remove(at: position).outcome
    }

    /// The outcome if it is known already; else the continuation is kept until it is.
    mutating func attach(
      _ number: UInt64, _ continuation: CheckedContinuation<WaiterOutcome, Never>
    ) -> WaiterOutcome? {
      guard let position = waiters.firstIndex(where: { $0.number == number }) else {
        return .closed
      }
      guard let outcome = waiters[position].outcome else {
        waiters[position].continuation = continuation
        return nil
      }
      waiters.remove(at: position)
      return outcome
    }

    /// Gives the first wait its outcome. Nil if nobody waits.
    mutating func serveFirst(
      _ outcome: WaiterOutcome
    ) -> (site: PagePool.CallSite, continuation: CheckedContinuation<WaiterOutcome, Never>?)? {
      guard let first = waiters.first(where: { $0.outcome == nil }) else { return nil }
      return (first.site, resolve(first.number, outcome))
    }

    /// Gives a wait its outcome, if it has none yet. Returns whom to wake.
    mutating func resolve(
      _ number: UInt64, _ outcome: WaiterOutcome
    ) -> CheckedContinuation<WaiterOutcome, Never>? {
      guard let position = waiters.firstIndex(where: { $0.number == number && $0.outcome == nil })
      else { return nil }
      guard let continuation = waiters[position].continuation else {
        waiters[position].outcome = outcome
        return nil
      }
      waiters.remove(at: position)
      return continuation
    }

    mutating func close() -> [CheckedContinuation<WaiterOutcome, Never>] {
      isClosed = true
      return waiters.map(\.number).compactMap { resolve($0, .closed) }
    }
  }

  /// The task now waits. Any thread.
  func attachWaiter(
    _ number: UInt64, _ continuation: CheckedContinuation<WaiterOutcome, Never>
  ) {
    let outcome = withWaiters { $0.attach(number, continuation) }
    if let outcome { continuation.resume(returning: outcome) }
  }

  func withWaiters<Result: Sendable>(
    _ body: (inout sending WaiterList) -> sending Result
  ) -> Result {
    waiters.withLock { waiters in
      let result = body(&waiters)
      waiterCount.store(waiters.count, ordering: .releasing)
      return result
    }
  }

  /// What became of a buffer that came back while somebody might wait.
  enum Handover {
    case handedOver
    case pushed
    case refused
  }

  /// Hands a buffer that nobody holds over to the first task that waits, or else pushes it, under
  /// one lock: a task that begins to wait is either seen here, or sees what was pushed. Something
  /// else must keep the pool. Any thread.
  /// - Parameter push: puts the buffer where such a task looks; false if that is closed.
  /// - Parameter isReturn: false for a buffer that comes from the provider: the caller counts it.
  func handOver(
    _ iov: RecordReference, isReturn: Bool = true, else push: () -> Bool
  ) -> Handover {
    var continuation: CheckedContinuation<WaiterOutcome, Never>?
    let outcome: Handover = waiters.withLock { waiters in
      guard let first = waiters.serveFirst(.buffer(iov)) else { return push() ? .pushed : .refused }
      waiterCount.store(waiters.count, ordering: .releasing)
      ledger?.taken(iov, at: first.site)
      if isReturn { countHandedOver() }
      continuation = first.continuation
      return .handedOver
    }
    continuation?.resume(returning: .buffer(iov))
    return outcome
  }

  /// Ends one task's wait, also if it has not begun yet. Any thread.
  func resolveWaiter(_ number: UInt64, _ outcome: WaiterOutcome) {
    let continuation = withWaiters { $0.resolve(number, outcome) }
    continuation?.resume(returning: outcome)
  }

  func closeWaiters() {
    let all = withWaiters { $0.close() }
    for continuation in all { continuation.resume(returning: .closed) }
  }
}

extension PagePoolCore {
  /// A task wants a buffer: takes one, or begins to wait; from then on whoever returns a buffer
  /// hands it over. Refused where the calling thread does not own the pool.
  func expectWaiter(_ site: PagePool.CallSite) -> Expectation {
    let found = unsafe PagePool.State.inside(state) { () -> Expectation in
      if let iov = unsafe PagePool.State.takeInside(site, state, self) { return .buffer(iov) }
      let number: UInt64? = withWaiters { $0.isClosed ? nil : $0.expect(site) }
      guard let number else { return .refused(.closed) }
      updateAttention()
      // Whatever came back before the flag was up has to be looked for, and what has taken its
      // place in the ring but not filled it has to be waited for: that takes its thread a few
      // instructions.
      while true {
        if let iov = takeQueued() {
          if case .buffer(let other) = withWaiters({ $0.withdraw(number) }) {
            // Another thread was as fast; one is enough.
            unsafe PagePool.State.put(other.record)
          }
          unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
          ledger?.taken(iov, at: site)
          return .buffer(iov)
        }
        if unsafe state.pointee.queue.ring.isEmpty { return .number(number) }
        cthreads_yield()
      }
    }
    if let found { return found }
    if isForked { return .refused(.forked) }
    return .refused(isClosing.load(ordering: .acquiring) ? .closed : .ownedByAnotherThread)
  }
}
