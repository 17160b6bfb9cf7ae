// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// How a pool ends.
extension PoolCore {
  struct Ending {
    var closedAt: ContinuousClock.Instant?
    var isDrained = false
    var nextWaiter: UInt64 = 0
    var waiters: [UInt64: @Sendable (_ isDrained: Bool) -> Void] = [:]
  }

  /// Closes the pool to allocation and gives everything that nobody holds back to the provider: at
  /// once, or when the owner leaves what it is in the middle of. Any thread, also out of a
  /// callback; the second time nothing happens.
  func beginClosing() {
    guard !isForked, !isClosing.exchange(true, ordering: .acquiringAndReleasing) else { return }
    ending.withLock { $0.closedAt = .now }
    closeWaiters()
    closeCaches()
  }

  /// Buffers out of the provider.
  var outCount: Int {
    Int(truncatingIfNeeded: life.load(ordering: .relaxed) & (Self.onePin - 1))
  }

  /// Keeps the pool until `unpin()`. The caller holds a buffer, another pin or the provider's
  /// memory of an open pool: something that is counted already.
  func pin() { life.add(Self.onePin, ordering: .relaxed) }

  /// Takes a pin away. Nothing of the pool may be touched after it. Any thread.
  func unpin() { shorten(by: Self.onePin) }

  /// Takes something off what keeps the pool.
  private func shorten(by amount: UInt64) {
    guard life.subtract(amount, ordering: .acquiringAndReleasing).newValue == 0 else { return }
    end()
  }

  /// The last buffer is back, and the pool closed. Runs once.
  private func end() {
    provider.detach(from: identity, MemoryProviderAccess())
    let waiters = ending.withLock { ending in
      ending.isDrained = true
      return Array(exchange(&ending.waiters, with: [:]).values)
    }
    // The registry's reference may be the last one: it has to outlast this call.
    let registered = PagePoolRegistry.shared.remove(self)
    withExtendedLifetime(registered) {
      for waiter in waiters { waiter(true) }
    }
  }

  /// Calls `waiter` when the last buffer is back, or now if it is already. Any thread.
  /// - Returns: a number for ``stopWaiting(_:)``, 0 if it has been called.
  @discardableResult
  func whenDrained(_ waiter: @escaping @Sendable (_ isDrained: Bool) -> Void) -> UInt64 {
    let number: UInt64? = ending.withLock { ending in
      if ending.isDrained { return nil }
      ending.nextWaiter += 1
      ending.waiters[ending.nextWaiter] = waiter
      return ending.nextWaiter
    }
    if number == nil { waiter(true) }
    return number ?? 0
  }

  /// Calls a waiter that is still waiting, with false. Any thread.
  func stopWaiting(_ number: UInt64) {
    let waiter = ending.withLock { $0.waiters.removeValue(forKey: number) }
    waiter?(false)
  }

  /// Closes the pool and calls `whenDrained` when its last buffer is back. In a forked child
  /// nothing happens.
  func close(whenDrained: @escaping @Sendable () -> Void) {
    guard !isForked else { return }
    beginClosing()
    self.whenDrained { _ in whenDrained() }
  }

  /// Closes the pool and waits for its last buffer.
  nonisolated(nonsending) func close(waitingAtMost limit: Duration?) async throws(PagePoolError) {
    guard !isForked else { throw .forked }
    beginClosing()
    let timer = Mutex<Task<Void, Never>?>(nil)
    let isDrained = await withCheckedContinuation { continuation in
      let number = whenDrained { continuation.resume(returning: $0) }
      guard let limit, number != 0 else { return }
      // Weak: who has what it waited for has no use for the time limit, and the pool none for being
      // kept.
      timer.withLock {
        $0 = Task { [weak self] in
          try? await Task.sleep(for: limit)
          if !Task.isCancelled { self?.stopWaiting(number) }
        }
      }
    }
    timer.withLock { $0?.cancel() }
    guard isDrained else { throw .stillHeld(PagePoolRegistry.report(self)) }
  }

  /// Nil while the pool is open. Any thread.
  var timeSinceClose: Duration? {
    ending.withLock { $0.closedAt.map { ContinuousClock.now - $0 } }
  }
}

/// Buffers from and to the provider. Any thread.
extension PoolCore {
  /// Refills from the provider, in the name of a state. Returns how many buffers came.
  ///
  /// The caller has the pool open: it is inside, or holds a pin.
  /// - Parameter makeRoom: called after the provider, which may have called back, and before the
  ///   first is written.
  func refill(
    into buffer: UnsafeMutableBufferPointer<RecordReference>, for holder: PagePool.State.Reference,
    butFirst makeRoom: () -> Void = {}
  ) -> Int {
    unsafe withUnsafeTemporaryAllocation(
      of: NetIOVReference.self, capacity: max(1, buffer.count)
    ) { names in
      var span = unsafe OutputSpan(buffer: names, initializedCount: 0)
      if buffer.count < names.count { return 0 }
      provider.refill(&span, MemoryProviderAccess())
      let count = unsafe span.finalize(for: names)
      makeRoom()
      for position in 0..<count {
        guard let record = unsafe holder.pointee.slabs.record(at: names[position].index) else {
          fatalError(
            "the provider handed out a buffer of a slab that it did not name in attach(to:)")
        }
        let (free, _) = unsafe record.pointee.pool.compareExchange(
          expected: nil, desired: holder, ordering: .relaxed)
        precondition(free, "the provider handed out a buffer that is in use")
        unsafe (buffer.baseAddress.unsafelyUnwrapped + position).initialize(
          to: RecordReference(record: record))
      }
      life.add(UInt64(count), ordering: .relaxed)
      return count
    }
  }

  /// Buffers leave the pool for the provider. Something else must keep the pool during the call.
  func release(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    guard !iovs.isEmpty else { return }
    unsafe withUnsafeTemporaryAllocation(of: NetIOVReference.self, capacity: iovs.count) { names in
      for position in iovs.indices {
        let record = unsafe iovs[position].record
        unsafe record.pointee.pool.store(nil, ordering: .relaxed)
        unsafe names.initializeElement(
          at: position, to: NetIOVReference(index: record.pointee.index))
      }
      unsafe provider.release(UnsafeBufferPointer(names).span, MemoryProviderAccess())
    }
    shorten(by: UInt64(iovs.count))
  }

  func release(_ iov: RecordReference) {
    unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: 1) { buffer in
      unsafe buffer.initializeElement(at: 0, to: iov)
      unsafe release(buffer)
    }
  }
}
