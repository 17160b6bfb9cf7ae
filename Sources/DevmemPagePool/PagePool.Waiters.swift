// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension PagePool {
  /// Takes a buffer, waiting for one to come back if there is none.
  ///
  /// No polling: whoever returns the next buffer, on whatever thread, hands it over. Waiting tasks are
  /// served in their order. Only buffers that this pool has out can come; those that another pool gives
  /// back to a shared provider are noticed at the next allocation. Runs on the caller's executor, which
  /// must be on the owner thread when it calls.
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
    let number = core.waiters.withLock { $0.takeNumber() }
    let site = CallSite(fileID, line)
    let timer = limit.map { limit in
      Task {
        try await Task.sleep(for: limit)
        core.resolveWaiter(number, .timedOut)
      }
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        core.addWaiter(number, continuation, site)
      }
    } onCancel: {
      core.resolveWaiter(number, .cancelled)
    }
    timer?.cancel()
    core.waiters.withLock { $0.forget(number) }
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

  /// The tasks that wait for a buffer, first come first.
  struct WaiterList {
    private struct Waiter {
      var number: UInt64
      var continuation: CheckedContinuation<WaiterOutcome, Never>
      var site: PagePool.CallSite
    }

    private var lastNumber: UInt64 = 0
    private var waiting: [Waiter] = []
    /// What befell a waiter before it had begun to wait.
    private var early: [UInt64: WaiterOutcome] = [:]
    private var expected: Set<UInt64> = []
    private var isClosed = false

    mutating func takeNumber() -> UInt64 {
      lastNumber += 1
      expected.insert(lastNumber)
      return lastNumber
    }

    mutating func forget(_ number: UInt64) {
      expected.remove(number)
      early[number] = nil
    }

    /// Adds a waiter; its outcome if that is known already.
    mutating func add(
      _ number: UInt64, _ continuation: CheckedContinuation<WaiterOutcome, Never>,
      _ site: PagePool.CallSite
    ) -> WaiterOutcome? {
      if isClosed { return .closed }
      if let outcome = early.removeValue(forKey: number) { return outcome }
      waiting.append(Waiter(number: number, continuation: continuation, site: site))
      return nil
    }

    mutating func takeFirst()
      -> (continuation: CheckedContinuation<WaiterOutcome, Never>, site: PagePool.CallSite)?
    {
      guard !waiting.isEmpty else { return nil }
      let first = waiting.removeFirst()
      return (first.continuation, first.site)
    }

    /// Takes one waiter out, or remembers the outcome for when it comes.
    mutating func resolve(
      _ number: UInt64, _ outcome: WaiterOutcome
    ) -> CheckedContinuation<WaiterOutcome, Never>? {
      if let position = waiting.firstIndex(where: { $0.number == number }) {
        return waiting.remove(at: position).continuation
      }
      if expected.contains(number), early[number] == nil { early[number] = outcome }
      return nil
    }

    mutating func close() -> [CheckedContinuation<WaiterOutcome, Never>] {
      isClosed = true
      let all = waiting.map(\.continuation)
      waiting = []
      return all
    }

    var count: Int { waiting.count }
  }

  /// A task begins to wait. Owner thread.
  func addWaiter(
    _ number: UInt64, _ continuation: CheckedContinuation<WaiterOutcome, Never>,
    _ site: PagePool.CallSite
  ) {
    let known = waiters.withLock { waiters in
      let known = waiters.add(number, continuation, site)
      waiterCount.store(waiters.count, ordering: .releasing)
      return known
    }
    if let known { return continuation.resume(returning: known) }
    updateAttention()
    // Whatever came back before the flag was up has to be looked for; after it, it is handed over.
    while waiterCount.load(ordering: .relaxed) > 0, let iov = takeQueued() {
      guard serve(iov) else { return unsafe PagePool.State.pushLocal(iov.record, state) }
      unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
    }
  }

  /// Gives a dying buffer to the first task that waits. False if none does. Any thread.
  func handOver(_ iov: NetIOVReference) -> Bool {
    guard waiterCount.load(ordering: .acquiring) > 0, serve(iov) else { return false }
    unsafe state.pointee.counters.handedOver.add(1, ordering: .relaxed)
    return true
  }

  /// Wakes the first waiter with a buffer. False if there is none any more. Any thread.
  private func serve(_ iov: NetIOVReference) -> Bool {
    let first = waiters.withLock { waiters in
      let first = waiters.takeFirst()
      waiterCount.store(waiters.count, ordering: .releasing)
      return first
    }
    guard let first else { return false }
    ledger?.taken(iov, at: first.site)
    first.continuation.resume(returning: .buffer(iov))
    return true
  }

  /// Ends one task's wait, also if it has not begun yet. Any thread.
  func resolveWaiter(_ number: UInt64, _ outcome: WaiterOutcome) {
    let continuation = waiters.withLock { waiters in
      let continuation = waiters.resolve(number, outcome)
      waiterCount.store(waiters.count, ordering: .releasing)
      return continuation
    }
    continuation?.resume(returning: outcome)
  }

  func closeWaiters() {
    let all = waiters.withLock { waiters in
      let all = waiters.close()
      waiterCount.store(0, ordering: .releasing)
      return all
    }
    for continuation in all { continuation.resume(returning: .closed) }
  }
}
