// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// Getting buffers. Inside only: the owner thread, in a section of its own.
extension PagePoolCore {
  /// Allocation with an empty cache: refills it, takes the first buffer, and sees to what is only
  /// looked at here: the reserve, the watermark, the ledger.
  func refillAndTake(
    _ priority: PagePool.Priority, _ site: PagePool.CallSite
  ) -> RecordReference? {
    // Closed by a callback in this very section.
    guard !isClosing.load(ordering: .relaxed) else { return nil }
    updateAttention()
    if reserve.count < configuration.reserveCount {
      refillReserve()
      unloadToList()
    }
    let found: RecordReference
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
    if refillFromQueue() {
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

  /// Moves what came back into the empty cache. False if there was none to use.
  private func refillFromQueue() -> Bool {
    var loaded = 0
    repeat {
      let moved = loadQueued()
      guard moved > 0 else {
        unsafe state.pointee.counters.empty.addAsOnlyWriter(1)
        return false
      }
      loaded = hasNodeFilter.load(ordering: .relaxed) ? waiveCache(moved) : moved
    } while unsafe loaded == 0 && state.pointee.stackedCount == 0
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(loaded))
    trimQueue()
    tuner.refilledFromQueue()
    return true
  }

  /// Moves up to a refill's worth into the empty cache: from the local list, else from the ring,
  /// else from the queue's overflow. Returns how many.
  private func loadQueued() -> Int {
    var listed = unsafe state.pointee.localCount.load(ordering: .relaxed)
    if listed == 0 {
      let count = loadRing()
      if count > 0 { return count }
      let chain = unsafe state.pointee.queue.overflow.takeAll()
      unsafe PagePool.State.pushLocal(chain, state)
      listed = chain.count
    }
    return unsafe PagePool.State.loadLocalList(min(refillCount, listed), state)
  }

  /// Moves up to a refill's worth from the ring into the empty cache; a last batch may be beyond
  /// that.
  private func loadRing() -> Int {
    var count = unsafe state.pointee.queue.ring.take(into: cache, upTo: refillCount)
    while count < refillCount, count < configuration.cacheCapacity,
      let batch = unsafe state.pointee.queue.ring.takeBatch(
        of: 1...configuration.cacheCapacity - count)
    {
      unsafe (cache + count).update(from: batch.storage.slots, count: batch.count)
      unsafe state.pointee.spare(batch.storage)
      count += batch.count
    }
    unsafe state.pointee.top.store(cache + count)
    return count
  }

  /// A batch of `count` buffers that came back as it is, without a detour through the cache. Nil if
  /// the next that came back is something else, or has to be looked at.
  func takeRingBatch(of count: Int) -> BatchStorage? {
    guard !hasAttention, !hasNodeFilter.load(ordering: .relaxed),
      let batch = unsafe state.pointee.queue.ring.takeBatch(of: count...count)
    else { return nil }
    // As if it had been loaded into the cache by the first allocation and served the others from
    // there.
    unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(count))
    unsafe state.pointee.counters.unloaded.addAsOnlyWriter(1)
    unsafe state.pointee.served.addAsOnlyWriter(UInt64(2 * (count - 1)))
    queuedBatchCount &+= 1
    // Not each time: it reads what the other threads write.
    if queuedBatchCount & 63 == 0 { trimQueue() }
    return batch.storage
  }

  /// Gives those of the cache's buffers back that lie on another node than the pool's. Returns how
  /// many are left.
  ///
  /// The kernel stops its refill at the first; the rest may well be on the right node.
  private func waiveCache(_ count: Int) -> Int {
    guard let node else { return count }
    return unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: count) {
      waived in
      var kept = 0
      for position in 0..<count {
        let iov = unsafe cache[position]
        if let its = iov.area.node, its != node {
          unsafe waived.initializeElement(at: position - kept, to: iov)
        } else {
          unsafe cache[kept] = iov
          kept += 1
        }
      }
      // Out of the cache before the provider, which may call back, sees the first.
      unsafe state.pointee.top.store(cache + kept)
      unsafe state.pointee.counters.waive.addAsOnlyWriter(UInt64(count - kept))
      unsafe release(UnsafeMutableBufferPointer(rebasing: waived[..<(count - kept)]))
      return kept
    }
  }

  /// Gives what waits above the ring capacity back to the provider.
  private func trimQueue() {
    let queued =
      unsafe state.pointee.localCount.load(ordering: .relaxed) + state.pointee.queue.count
    guard queued > configuration.ringCapacity else { return }
    let released = releaseQueued(queued - configuration.ringCapacity)
    unsafe state.pointee.counters.ringFull.addAsOnlyWriter(UInt64(released))
  }

  /// Takes one buffer that came back, from wherever it waits. Nil if there is none.
  func takeQueued() -> RecordReference? {
    if unsafe state.pointee.localCount.load(ordering: .relaxed) > 0 {
      return unsafe PagePool.State.popLocal(state)
    }
    let found = unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: 1) {
      unsafe state.pointee.queue.ring.take(into: $0.baseAddress.unsafelyUnwrapped, upTo: 1) == 1
        ? $0[0] : nil
    }
    if let found { return found }
    if let batch = unsafe state.pointee.queue.ring.takeBatch(of: 1...Int(UInt16.max)) {
      for position in 0..<batch.count {
        unsafe PagePool.State.pushLocal(batch.storage.slots[position].record, state)
      }
      unsafe state.pointee.spare(batch.storage)
      return unsafe PagePool.State.popLocal(state)
    }
    unsafe PagePool.State.pushLocal(state.pointee.queue.overflow.takeAll(), state)
    guard unsafe state.pointee.localCount.load(ordering: .relaxed) > 0 else { return nil }
    return unsafe PagePool.State.popLocal(state)
  }

  /// Fills the empty cache from the provider, up to the refill count. False if it had none.
  private func refillFromProvider() -> Bool {
    if configuration.tunesRefill, ledger == nil {
      refillCount = tuner.refilledFromProvider(
        refillCount, allocations: unsafe state.pointee.served.load(ordering: .relaxed) >> 1,
        capacity: configuration.cacheCapacity)
    }
    let count = unsafe refill(
      into: UnsafeMutableBufferPointer(start: cache, count: refillCount), for: state,
      butFirst: unloadToList)
    unsafe state.pointee.top.store(cache + count)
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(count))
    return hasAttention ? serveWaiters() : count > 0
  }

  /// Hands what is in the cache to the tasks that wait: they were here before. Returns whether
  /// anything is left.
  ///
  /// They wait because there was nothing; only the provider can have got something since that did
  /// not come past them.
  private func serveWaiters() -> Bool {
    while waiterCount.load(ordering: .relaxed) > 0, unsafe state.pointee.stackedCount > 0 {
      let iov = unsafe state.pointee.pop()
      guard handOver(iov, isReturn: false, else: { false }) == .handedOver else {
        unsafe state.pointee.push(iov.record)
        break
      }
      unsafe state.pointee.counters.unloaded.addAsOnlyWriter(1)
      countSlow()
    }
    return unsafe state.pointee.stackedCount > 0
  }

  // MARK: Reserve

  /// Takes from the provider what the reserve lacks, as far as there is any.
  func refillReserve() {
    guard let reserveState = unsafe reserveState else { return }
    unsafe withUnsafeTemporaryAllocation(
      of: RecordReference.self, capacity: configuration.reserveCount - reserve.count
    ) { buffer in
      let count = unsafe refill(into: buffer, for: reserveState)
      for position in 0..<count { unsafe reserve.append(buffer[position]) }
    }
    reserveFill.store(reserve.count, ordering: .relaxed)
  }

  /// Empties the cache of what has come in while the provider was called, which may call back.
  private func unloadToList() {
    while unsafe state.pointee.stackedCount > 0 {
      unsafe state.pointee.counters.unloaded.addAsOnlyWriter(1)
      unsafe PagePool.State.pushLocal(state.pointee.pop().record, state)
    }
  }

  private func takeFromReserve() -> RecordReference? {
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
    nodeFilter.withLock { $0 = node }
    hasNodeFilter.store(node != nil, ordering: .relaxed)
    if node != nil { releaseCache() }
  }
}
