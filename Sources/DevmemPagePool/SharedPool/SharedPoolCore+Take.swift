// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// Getting buffers the long way. Any thread, in no mark.
extension SharedPoolCore {
  /// One buffer: from the calling thread's part, the depot, the provider, the other threads' parts,
  /// and for a critical allocation the reserve, in this order.
  func takeOne(_ priority: PagePool.Priority, _ site: PagePool.CallSite) -> RecordReference? {
    if let iov = takeFromMagazine() { return iov }
    return unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: 1) { slots in
      let slot = unsafe slots.baseAddress.unsafelyUnwrapped
      if unsafe take(1, to: slot, site) == 1 { return unsafe slot.pointee }
      if priority == .critical, let reserved = takeFromReserve(site) { return reserved }
      countNothing(priority)
      return nil
    }
  }

  /// One buffer of a magazine that fills the calling thread's cache. Nil if that is not what there
  /// is to do.
  ///
  /// The lock is held for a few instructions: magazines are emptied without it.
  private func takeFromMagazine() -> RecordReference? {
    guard !isForked, cthreads_has(key), configuration.watermarks == nil,
      configuration.reserveCount == 0
    else { return nil }
    let part = unsafe PagePool.State.here(key)
    guard unsafe part.pointee.wholeBatch == nil else { return nil }
    let magazine = depot.withLock { depot -> BatchStorage? in
      guard !depot.isClosed, !seesEverything, let magazine = depot.magazines.popLast() else {
        return nil
      }
      if let empty = unsafe part.pointee.magazine.take() { depot.emptyMagazines.append(empty) }
      unsafe part.pointee.letIn()
      return magazine
    }
    guard let magazine else { return nil }
    if let iov = unsafe PagePool.State.load(magazine, configuration.refillCount, part) {
      unsafe part.pointee.magazine = magazine
      unsafe part.pointee.counters.refill.addAsOnlyWriter(1)
      return iov
    }
    // Called back in between.
    pin()
    unsafe passOn(
      UnsafeMutableBufferPointer(start: magazine.slots, count: configuration.refillCount))
    unpin()
    unsafe part.pointee.magazine = magazine
    return nil
  }

  /// Up to `count` buffers, without the reserve. Fewer are for the caller to count
  /// (`countNothing`).
  func take(_ count: Int, to slots: AtomicSlot.Slot, _ site: PagePool.CallSite) -> Int {
    guard !isForked else { trapNotOwner() }
    guard let part = unsafe partHere() ?? (isClosing.load(ordering: .relaxed) ? nil : home) else {
      return 0
    }
    unsafe refillReserve(for: part)
    var taken = 0
    var hasAsked = false
    while true {
      unsafe taken += takeCached(count - taken, to: slots + taken, part)
      if taken == count { break }
      if unsafe refill(min(max(count - taken, configuration.refillCount), 4096), for: part) {
        hasAsked = true
      } else if !callBack(.whoHas) {
        break
      }
    }
    guard taken > 0 else { return 0 }
    unsafe note(taken, hasAsked, part)
    for position in 0..<taken { unsafe ledger?.taken(slots[position], at: site) }
    checkHighWatermark()
    return taken
  }

  /// An allocation got less than it asked for.
  func countNothing(_ priority: PagePool.Priority) {
    if isClosing.load(ordering: .relaxed) {
      counters.closed.add(1, ordering: .relaxed)
    } else if priority == .critical {
      counters.reserveExhausted.add(1, ordering: .relaxed)
    } else {
      counters.exhausted.add(1, ordering: .relaxed)
    }
  }

  /// As `Statistics` has it: one counts as what made it slow, the others as if the cache had served
  /// them.
  func note(
    _ taken: Int, _ hasAskedProvider: Bool, _ part: PagePool.State.Reference
  ) {
    if taken > 1 {
      counters.loaded.add(UInt64(taken - 1), ordering: .relaxed)
      unsafe part.pointee.served.add(UInt64(2 * (taken - 1)), ordering: .relaxed)
    }
    if !hasAskedProvider {
      counters.refill.add(1, ordering: .relaxed)
    } else if iovByteCount > 4096 {
      counters.slowHighOrder.add(1, ordering: .relaxed)
    } else {
      counters.slow.add(1, ordering: .relaxed)
    }
  }

  /// What there is without asking anybody; fills the thread's cache, if it may have one.
  private func takeCached(
    _ count: Int, to slots: AtomicSlot.Slot, _ part: PagePool.State.Reference
  ) -> Int {
    return depot.withLock { depot in
      if depot.isClosed { return 0 }
      // Looked at under the lock: a task that begins to wait calls everybody back after it has said
      // so.
      let mayCache = !seesEverything
      var taken = 0
      if unsafe part != home {
        if mayCache {
          unsafe part.pointee.letIn()
          unsafe taken = part.pointee.take(count, to: slots)
          counters.unloaded.add(UInt64(taken), ordering: .relaxed)
        } else if unsafe !part.pointee.isIdle {
          unsafe part.pointee.unloadAll(to: &depot.iovs)
        }
      }
      while taken < count, let iov = takeSingle(&depot) {
        unsafe (slots + taken).initialize(to: iov)
        taken += 1
      }
      if unsafe part != home, mayCache, taken == count {
        let room = unsafe part.pointee.capacity - part.pointee.stackedCount
        let more = min(configuration.refillCount, room, depot.iovs.count)
        if unsafe part.pointee.stackedCount == 0, more > 0 {
          unsafe part.pointee.load(more, from: &depot.iovs)
        }
      }
      return taken
    }
  }

  /// Takes from the provider into the depot. False if it had nothing, or the pool is closed.
  private func refill(_ count: Int, for part: PagePool.State.Reference) -> Bool {
    guard pinIfOpen() else { return false }
    defer { unpin() }
    return unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: count) {
      buffer in
      let got = unsafe refill(into: buffer, for: part)
      let iovs = unsafe UnsafeMutableBufferPointer(rebasing: buffer[..<got])
      let isKept = depot.withLock { depot in
        if depot.isClosed { return false }
        unsafe depot.iovs.append(contentsOf: iovs)
        return true
      }
      if isKept { serveWaiters() } else { unsafe release(iovs) }
      return got > 0
    }
  }

  /// Hands what has come from the provider into the depot to the tasks that wait: they were here
  /// before.
  ///
  /// Looked at after that and not before: a task that begins to wait meanwhile has looked into the
  /// depot before, or is seen here. Something else must keep the pool.
  private func serveWaiters() {
    while waiterCount.load(ordering: .acquiring) > 0,
      let iov = depot.withLock({ takeSingle(&$0) })
    {
      switch handOverOrPush(iov, isReturn: false) {
      case .handedOver: unsafe note(1, true, home)
      case .pushed: return
      case .refused: return release(iov)
      }
    }
  }

  /// Keeps the pool until `unpin()`, if it is open.
  private func pinIfOpen() -> Bool {
    depot.withLock { depot in
      if depot.isClosed { return false }
      pin()
      return true
    }
  }

  // MARK: Reserve

  /// Takes from the provider what the reserve lacks, as far as there is any.
  func refillReserve(for part: PagePool.State.Reference) {
    guard configuration.reserveCount > 0 else { return }
    let missing = depot.withLock { configuration.reserveCount - $0.reserve.count }
    guard missing > 0, pinIfOpen() else { return }
    unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: missing) { buffer in
      let got = unsafe refill(into: buffer, for: part)
      let isKept = depot.withLock { depot in
        if depot.isClosed { return false }
        for position in 0..<got {
          if depot.reserve.count < configuration.reserveCount {
            unsafe depot.reserve.append(buffer[position])
          } else {
            unsafe depot.iovs.append(buffer[position])
          }
        }
        return true
      }
      if isKept {
        serveWaiters()
      } else {
        unsafe release(UnsafeMutableBufferPointer(rebasing: buffer[0..<got]))
      }
    }
    unpin()
  }

  private func takeFromReserve(_ site: PagePool.CallSite) -> RecordReference? {
    guard let iov = depot.withLock({ $0.reserve.popLast() }) else { return nil }
    counters.reserveUsed.add(1, ordering: .relaxed)
    unsafe note(1, true, home)
    ledger?.taken(iov, at: site)
    checkHighWatermark()
    return iov
  }

  // MARK: Waiting

  /// A task wants a buffer: takes one, or begins to wait; from then on whoever returns a buffer
  /// hands it over.
  func expectWaiter(_ site: PagePool.CallSite) -> Expectation {
    if isForked { return .refused(.forked) }
    if let iov = takeOne(.normal, site) { return .buffer(iov) }
    let number: UInt64? = withWaiters { $0.isClosed ? nil : $0.expect(site) }
    guard let number else { return .refused(.closed) }
    // From here on everybody comes the long way; what came back before has to be looked for.
    callBack(.everybody)
    guard let iov = depot.withLock({ takeSingle(&$0) }) else { return .number(number) }
    if case .buffer(let other) = withWaiters({ $0.withdraw(number) }) {
      // Another thread was as fast; one is enough.
      unsafe PagePool.State.put(other.record)
    }
    unsafe note(1, false, home)
    ledger?.taken(iov, at: site)
    return .buffer(iov)
  }
}
