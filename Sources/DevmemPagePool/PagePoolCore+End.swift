// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// How a pool ends.
extension PagePoolCore {
  struct Ending {
    var closedAt: ContinuousClock.Instant?
    var isDrained = false
    var nextWaiter: UInt64 = 0
    var waiters: [UInt64: @Sendable (_ isDrained: Bool) -> Void] = [:]
  }

  /// Closes the pool to allocation and gives everything that nobody holds back to the provider.
  func beginClosing() throws(PagePoolError) {
    // One more than there are, so that no return on another thread ends the pool meanwhile.
    unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
    let owner = unsafe state.pointee.owner.compareExchange(
      expected: 0, desired: PagePool.State.closedOwner, ordering: .acquiringAndReleasing
    ).original
    if owner == 0 || owner == cthread_identity() { return drain() }
    dropOne()
    if owner != PagePool.State.closedOwner { throw .ownedByAnotherThread }
  }

  /// Gives back everything that nobody holds, and ends the pool if that is all. Owner thread, or no
  /// other thread can touch the cache. The caller has added one to the number in flight, which is
  /// taken off here.
  func drain() {
    ending.withLock { $0.closedAt = .now }
    unsafe PagePool.State.endFragments(state)
    unsafe state.pointee.owner.store(PagePool.State.closedOwner, ordering: .releasing)
    unloadCache()
    // The ring first: who finds it full goes on to the overflow. A producer that has taken a slot fills
    // it with its next instruction; there is nothing to wait on but that.
    unsafe state.pointee.queue.ring.close()
    while unsafe !state.pointee.queue.ring.isEmpty { giveBackQueued(.max) }
    giveBackQueued(.max)
    unsafe PagePool.State.adopt(state.pointee.queue.overflow.close(), state)
    giveBackQueued(unsafe state.pointee.localCount.load(ordering: .relaxed))
    for iov in exchange(&reserve, with: []) { giveBack(iov) }
    reserveFill.store(0, ordering: .relaxed)
    closeWaiters()
    dropOne()
  }

  /// Takes one off the number in flight; the one that makes it 0 ends the pool. Any thread.
  func dropOne() {
    // Read before: if the pool is open now, whoever closes it has yet to add its own one and will see
    // to the end. If it is closed, that one is already counted.
    let isClosed =
      unsafe state.pointee.owner.load(ordering: .acquiring) == PagePool.State.closedOwner
    let left = unsafe state.pointee.counters.inFlight.subtract(1, ordering: .acquiringAndReleasing)
    guard left.newValue == 0, isClosed else { return }
    let waiters: [@Sendable (Bool) -> Void]? = ending.withLock { ending in
      // Closing a pool once more counts up and down as well.
      if ending.isDrained { return nil }
      ending.isDrained = true
      return Array(exchange(&ending.waiters, with: [:]).values)
    }
    guard let waiters else { return }
    provider.detach(from: identity)
    // The registry's reference may be the last one: it has to outlast this call.
    let registered = PagePoolRegistry.shared.remove(self)
    withExtendedLifetime(registered) {
      for waiter in waiters { waiter(true) }
    }
  }

  /// Calls `waiter` when the last buffer is back, or now if it is already. Any thread.
  /// - Returns: a number for ``stopWaiting(_:)``.
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

  /// The user's last reference is gone.
  ///
  /// On the owner thread, or with no owner, that closes the pool. On another thread the owner may be
  /// returning a buffer to the cache at this moment, so its cache is out of bounds unless no buffer
  /// is held. Then the cache is declared full, and the owner's next return closes the pool. A return
  /// that is under way right now can miss that: if it was the last one, the pool stays in the
  /// registry as an orphan.
  func abandon() {
    do {
      try beginClosing()
    } catch {
      isAbandoned.store(true, ordering: .releasing)
      unsafe state.pointee.limit.store(cache)
      if inFlight.held == 0 {
        unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
        drain()
      }
    }
  }

  /// Nil while the pool is open. Any thread.
  var timeSinceClose: Duration? {
    ending.withLock { $0.closedAt.map { ContinuousClock.now - $0 } }
  }
}
