// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension PagePool {
  /// Takes a buffer, waiting for one to come back if there is none.
  ///
  /// No polling: whoever returns the next buffer, on whatever thread, hands it over. Waiting tasks are
  /// served in their order. Only buffers that this pool has out can come; those that another pool gives
  /// back to a shared provider are noticed at the next allocation. Runs on the caller's executor, which
  /// must be on the owner thread when it calls: an actor whose executor has one thread. (The main actor's
  /// has, unless the program ends its main thread in `dispatchMain()`.)
  /// - Parameter limit: how long to wait at most; nil = until one comes.
  /// - Throws: `CancellationError` when the task is cancelled, ``PagePoolError/timedOut``,
  ///   ``PagePoolError/closed``. A buffer that was handed over at that very moment goes back to the
  ///   pool: nothing is lost.
  /// - Precondition: the calling thread owns the pool.
  public nonisolated(nonsending) func allocate(
    waiting limit: Duration?, fileID: StaticString = #fileID, line: UInt = #line
  ) async throws -> Netmem {
    if let netmem = allocate(fileID: fileID, line: line) { return netmem }
    let core = self.core
    // All that only the owner thread may do comes before the first suspension: the closures below may
    // run anywhere.
    let number: UInt64
    switch core.expectWaiter(CallSite(fileID, line)) {
    case .number(let taken): number = taken
    case .buffer(let iov): return unsafe Netmem(record: iov.record)
    case .closed: throw PagePoolError.closed
    }
    let timer = limit.map { limit in
      Task {
        try await Task.sleep(for: limit)
        core.resolveWaiter(number, .timedOut)
      }
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        core.attachWaiter(number, continuation)
      }
    } onCancel: {
      core.resolveWaiter(number, .cancelled)
    }
    timer?.cancel()
    switch outcome {
    case .buffer(let iov): return unsafe Netmem(record: iov.record)
    case .cancelled: throw CancellationError()
    case .timedOut: throw PagePoolError.timedOut
    case .closed: throw PagePoolError.closed
    }
  }
}

extension PagePoolCore {
  enum WaiterOutcome: Sendable {
    case buffer(NetIOVReference)
    case cancelled
    case timedOut
    case closed
  }

  /// How a wait begins.
  enum Expectation {
    case number(UInt64)
    case buffer(NetIOVReference)
    case closed
  }

  /// The tasks that wait for a buffer, first come first. A wait begins when its number is taken; the
  /// continuation comes later, perhaps after the outcome.
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

  /// A task is about to wait. From here on whoever returns a buffer hands it over. Owner thread.
  func expectWaiter(_ site: PagePool.CallSite) -> Expectation {
    let number: UInt64? = withWaiters { $0.isClosed ? nil : $0.expect(site) }
    guard let number else { return .closed }
    updateAttention()
    // Whatever came back before the flag was up has to be looked for.
    guard let iov = takeQueued() else { return .number(number) }
    if case .buffer(let other) = withWaiters({ $0.withdraw(number) }) {
      // Another thread was as fast; one is enough.
      unsafe PagePool.State.put(other.record)
    }
    unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
    ledger?.taken(iov, at: site)
    return .buffer(iov)
  }

  /// The task now waits. Any thread.
  func attachWaiter(
    _ number: UInt64, _ continuation: CheckedContinuation<WaiterOutcome, Never>
  ) {
    let outcome = withWaiters { $0.attach(number, continuation) }
    if let outcome { continuation.resume(returning: outcome) }
  }

  private func withWaiters<Result: Sendable>(
    _ body: (inout sending WaiterList) -> sending Result
  ) -> Result {
    waiters.withLock { waiters in
      let result = body(&waiters)
      waiterCount.store(waiters.count, ordering: .releasing)
      return result
    }
  }

  /// Gives a dying buffer to the first task that waits. False if none does. Any thread.
  func handOver(_ iov: NetIOVReference) -> Bool {
    guard waiterCount.load(ordering: .acquiring) > 0 else { return false }
    let first = waiters.withLock { waiters in
      let first = waiters.serveFirst(.buffer(iov))
      waiterCount.store(waiters.count, ordering: .releasing)
      if let first { ledger?.taken(iov, at: first.site) }
      return first
    }
    guard let first else { return false }
    unsafe state.pointee.counters.handedOver.add(1, ordering: .relaxed)
    first.continuation?.resume(returning: .buffer(iov))
    return true
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
