// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// Getting buffers. Owner thread only.
extension PagePoolCore {
  /// Allocation with an empty cache: refills it, takes the first buffer, and sees to what is only
  /// looked at here: the reserve, the watermark, the ledger.
  func allocateSlow(
    _ priority: PagePool.Priority, _ site: PagePool.CallSite
  ) -> NetIOVReference? {
    updateAttention()
    if reserve.count < configuration.reserveCount { fillReserve() }
    let found: NetIOVReference
    if refillCache() {
      unsafe state.pointee.counters.unloaded.addAsOnlyWriter(1)
      found = unsafe state.pointee.pop()
    } else if priority == .critical, let reserved = takeFromReserve() {
      found = reserved
    } else {
      if priority == .critical {
        unsafe state.pointee.counters.reserveExhausted.addAsOnlyWriter(1)
      } else {
        unsafe state.pointee.counters.exhausted.addAsOnlyWriter(1)
      }
      return nil
    }
    ledger?.taken(found, at: site)
    checkHighWatermark()
    return found
  }

  /// Refills the empty cache and counts where from. False if there was nothing to be had.
  private func refillCache() -> Bool {
    takeQueue()
    if refillFromLocalList() {
      unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
    } else if refillFromProvider() {
      countSlow()
    } else {
      return false
    }
    return true
  }

  /// Counts an allocation that went to the provider, or to the reserve.
  func countSlow() {
    if iovByteCount > 4096 {
      unsafe state.pointee.counters.slowHighOrder.addAsOnlyWriter(1)
    } else {
      unsafe state.pointee.counters.slow.addAsOnlyWriter(1)
    }
  }

  /// Makes what other threads have returned the local list, if that is empty.
  func takeQueue() {
    guard unsafe state.pointee.localCount.load(ordering: .relaxed) == 0 else { return }
    let chain = unsafe state.pointee.queue.takeAll()
    unsafe state.pointee.adopt(chain)
    if chain.count == 0 { unsafe state.pointee.counters.empty.addAsOnlyWriter(1) }
  }

  /// Moves buffers from the local list into the empty cache. False if there was none to use.
  private func refillFromLocalList() -> Bool {
    let listed = unsafe state.pointee.localCount.load(ordering: .relaxed)
    guard listed > 0 else { return false }
    let loaded =
      if hasNodeFilter.load(ordering: .relaxed), let node {
        loadLocalList(onNode: node)
      } else {
        unsafe state.pointee.loadLocalList(min(refillCount, listed))
      }
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(loaded))
    let excess =
      unsafe state.pointee.localCount.load(ordering: .relaxed) - configuration.ringCapacity
    if excess > 0 {
      unsafe state.pointee.counters.ringFull.addAsOnlyWriter(UInt64(excess))
      giveBackLocalList(excess)
    }
    if loaded > 0 { tuner.refilledFromQueue() }
    return loaded > 0
  }

  /// The same for one node only; what lies on others goes back to the provider. Returns how many.
  private func loadLocalList(onNode filter: Int) -> Int {
    var loaded = 0
    while loaded < refillCount, unsafe state.pointee.localCount.load(ordering: .relaxed) > 0 {
      let iov = unsafe state.pointee.popLocal()
      if let node = iov.area.node, node != filter {
        // The kernel stops its refill here; the rest of the list may well be on the right node.
        unsafe state.pointee.counters.waive.addAsOnlyWriter(1)
        giveBack(iov)
      } else {
        unsafe state.pointee.push(iov.record)
        loaded += 1
      }
    }
    return loaded
  }

  /// Fills the empty cache from the provider, up to the refill count. False if it had none.
  private func refillFromProvider() -> Bool {
    if configuration.tunesRefill, ledger == nil {
      refillCount = tuner.refilledFromProvider(
        refillCount, allocations: unsafe state.pointee.fast.load(ordering: .relaxed),
        capacity: configuration.cacheCapacity)
    }
    let count = unsafe take(
      into: UnsafeMutableBufferPointer(start: cache, count: refillCount), for: state)
    unsafe state.pointee.top.store(cache + count)
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(count))
    return count > 0
  }

  /// Takes buffers from the provider, in the name of a state. Returns how many.
  func take(
    into buffer: UnsafeMutableBufferPointer<NetIOVReference>, for holder: PagePool.State.Reference
  ) -> Int {
    var span = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
    provider.refill(&span)
    let count = unsafe span.finalize(for: buffer)
    for position in 0..<count {
      let record = unsafe buffer[position].record
      precondition(
        unsafe state.pointee.slabs.record(at: record.pointee.index) == record,
        "the provider handed out a buffer of a slab that it did not name in attach(to:)")
      let (free, _) = unsafe record.pointee.pool.compareExchange(
        expected: nil, desired: holder, ordering: .relaxed)
      precondition(free, "the provider handed out a buffer that is in use")
    }
    unsafe state.pointee.counters.inFlight.add(count, ordering: .relaxed)
    return count
  }

  // MARK: Reserve

  /// Takes from the provider what the reserve lacks, as far as there is any.
  func fillReserve() {
    guard let reserveState = unsafe reserveState else { return }
    unsafe withUnsafeTemporaryAllocation(
      of: NetIOVReference.self, capacity: configuration.reserveCount - reserve.count
    ) { buffer in
      let count = unsafe take(into: buffer, for: reserveState)
      for position in 0..<count { unsafe reserve.append(buffer[position]) }
    }
    reserveFill.store(reserve.count, ordering: .relaxed)
  }

  private func takeFromReserve() -> NetIOVReference? {
    guard let iov = reserve.popLast() else { return nil }
    reserveFill.store(reserve.count, ordering: .relaxed)
    unsafe state.pointee.counters.reserveUsed.addAsOnlyWriter(1)
    countSlow()
    return iov
  }

  // MARK: Node

  /// The node buffers should lie on. Any thread.
  var node: Int? { nodeFilter.withLock { $0 } }

  func changeNode(to node: Int?) {
    precondition(
      unsafe state.pointee.isMine, "only the owner thread can change a PagePool's node")
    nodeFilter.withLock { $0 = node }
    hasNodeFilter.store(node != nil, ordering: .relaxed)
    let cached = unsafe state.pointee.cachedCount
    guard node != nil, cached > 0 else { return }
    unloadBottomOfCache(cached)
  }
}
