// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// Taking buffers back the long way, and what there is to see. Any thread, in no mark.
extension SharedPoolCore {
  /// Buffers that nobody holds any more, and that the calling thread's cache had no room for.
  func putPastPart(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    // The buffers are the parent's, which has them out as well.
    guard !isForked, !iovs.isEmpty else { return }
    // Once they are given away nothing but this keeps the pool.
    pin()
    if unsafe iovs.count > 1 || !unloadMagazine(iovs[0]) { unsafe putSingly(iovs) }
    if isAboveWatermark.load(ordering: .relaxed) { checkLowWatermark() }
    unpin()
  }

  /// Makes room in the full cache by one magazine, which goes to the depot. False, and nothing
  /// done, if that is not what there is to do. With a pin.
  ///
  /// The lock is held for a few instructions: magazines are filled without it.
  private func unloadMagazine(_ iov: RecordReference) -> Bool {
    guard cthreads_has(key) else { return false }
    let count = configuration.refillCount
    let part = unsafe PagePool.State.here(key)
    let magazine = unsafe part.pointee.magazine.take() ?? .allocate(capacity: count)
    guard unsafe PagePool.State.unload(count, to: magazine, iov, part) else {
      unsafe part.pointee.magazine = magazine
      return false
    }
    unsafe part.pointee.counters.cacheFull.addAsOnlyWriter(1)
    var surplus: [RecordReference] = []
    let isKept = depot.withLock { depot in
      guard !depot.isClosed, !seesEverything else { return false }
      depot.magazines.append(magazine)
      unsafe part.pointee.magazine = depot.emptyMagazines.popLast()
      surplus = takeSurplus(&depot)
      return true
    }
    if isKept {
      release(&surplus)
    } else {
      unsafe passOn(UnsafeMutableBufferPointer(start: magazine.slots, count: count))
      unsafe part.pointee.magazine = magazine
    }
    return true
  }

  private func putSingly(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    for position in iovs.indices { unsafe ledger?.returned(iovs[position]) }
    let part = unsafe partHere()
    var surplus: [RecordReference] = []
    let way = depot.withLock { depot -> Handover? in
      if depot.isClosed { return .refused }
      // Looked at under the lock: a task that begins to wait calls everybody back after it has said
      // so.
      if seesEverything { return nil }
      for position in iovs.indices { unsafe push(iovs[position], part, &depot) }
      surplus = takeSurplus(&depot)
      return .pushed
    }
    guard way != .pushed else { return release(&surplus) }
    for position in iovs.indices {
      switch unsafe way ?? handOverOrPush(iovs[position]) {
      case .handedOver: break
      case .pushed: counters.ring.add(1, ordering: .relaxed)
      case .refused:
        counters.releasedReferenceCount.add(1, ordering: .relaxed)
        unsafe release(iovs[position])
      }
    }
  }

  /// Buffers of the pool's own, which nobody returns now, to where they belong: a task that waits,
  /// the depot, the provider of a closed pool. With a pin.
  func passOn(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    for position in iovs.indices {
      switch unsafe handOverOrPush(iovs[position], isReturn: false) {
      case .handedOver: unsafe note(1, false, home)
      case .pushed: break
      case .refused: unsafe release(iovs[position])
      }
    }
  }

  /// To the first task that waits, or into the depot, where such tasks look.
  func handOverOrPush(_ iov: RecordReference, isReturn: Bool = true) -> Handover {
    handOver(iov, isReturn: isReturn) {
      depot.withLock { depot in
        guard !depot.isClosed else { return false }
        depot.iovs.append(iov)
        return true
      }
    }
  }

  /// Onto the thread's cache, of which a part goes to the depot first if it is full.
  private func push(
    _ iov: RecordReference, _ part: PagePool.State.Reference?, _ depot: inout Depot
  ) {
    if let part = unsafe part {
      unsafe part.pointee.letIn()
      if unsafe part.pointee.stackedCount == part.pointee.capacity {
        unsafe part.pointee.counters.cacheFull.addAsOnlyWriter(1)
        unsafe part.pointee.unload(configuration.refillCount, to: &depot.iovs)
      }
      unsafe part.pointee.push(iov.record)
    } else {
      depot.iovs.append(iov)
      counters.ring.add(1, ordering: .relaxed)
    }
  }

  /// Takes out of the depot what is above the ring capacity: the oldest, which are the least likely
  /// to be in a processor's cache.
  private func takeSurplus(_ depot: inout Depot) -> [RecordReference] {
    let over = count(depot) - configuration.ringCapacity
    guard over > 0 else { return [] }
    var surplus = Array(depot.iovs.prefix(over))
    depot.iovs.removeFirst(surplus.count)
    while surplus.count < over {
      let magazine = depot.magazines.removeFirst()
      unsafe surplus.append(
        contentsOf: UnsafeBufferPointer(start: magazine.slots, count: configuration.refillCount))
      depot.emptyMagazines.append(magazine)
    }
    counters.ringFull.add(UInt64(surplus.count), ordering: .relaxed)
    return surplus
  }

  /// Gives buffers to the provider, 64 at a time. Something else must keep the pool.
  func release(_ iovs: inout [RecordReference]) {
    unsafe iovs.withUnsafeMutableBufferPointer { iovs in
      for start in stride(from: 0, to: iovs.count, by: 64) {
        let end = min(iovs.count, start + 64)
        unsafe release(UnsafeMutableBufferPointer(rebasing: iovs[start..<end]))
      }
    }
  }

  // MARK: Looking

  /// Buffers in all threads' caches. Under the lock. Nil while one is between the two marks of a
  /// return.
  private static func cachedCount(_ depot: borrowing Depot) -> Int? {
    var count = 0
    for part in depot.parts.values {
      if unsafe part.state.pointee.isKeptOut, unsafe part.state.pointee.isIdle { continue }
      guard let top = unsafe part.state.pointee.top.acquire() else { return nil }
      unsafe count += top - part.state.pointee.base
      unsafe count += part.state.pointee.wholeBatchCount.load(ordering: .relaxed)
    }
    return count
  }

  /// Where the buffers are; a snapshot while other threads are at it. In a forked child, which has
  /// none, zeros.
  var currentInFlight: PagePool.InFlight {
    while !isForked {
      let seen = depot.withLock { depot -> PagePool.InFlight? in
        guard let cached = Self.cachedCount(depot) else { return nil }
        let (queued, reserved) = (count(depot), depot.reserve.count)
        return PagePool.InFlight(
          held: max(0, outCount - cached - queued - reserved), cached: cached, queued: queued,
          reserved: reserved)
      }
      if let seen { return seen }
      cthreads_yield()
    }
    return PagePool.InFlight(held: 0, cached: 0, queued: 0)
  }

  /// What all threads have done; exact while none is at it. In a forked child, which has none,
  /// zeros.
  var currentStatistics: PagePool.Statistics {
    func read(_ counter: borrowing Atomic<UInt64>) -> UInt64 { counter.load(ordering: .relaxed) }
    var result = PagePool.Statistics()
    if isForked { return result }
    let handedOver = read(counters.handedOver)
    // Not counted on the fast path: what is in the caches, and what left them, must have come in.
    var balance = UInt64(currentInFlight.cached) &+ read(counters.unloaded) &- read(counters.loaded)
    let parts = depot.withLock { Array($0.allParts) }
    for part in unsafe parts + [Part(state: home)] {
      unsafe result.alloc.fast += read(part.state.pointee.served) >> 1
      unsafe balance &+= read(part.state.pointee.counters.unloaded)
      unsafe balance &-= read(part.state.pointee.counters.loaded)
      unsafe result.alloc.refill += read(part.state.pointee.counters.refill)
      unsafe result.recycle.cacheFull += read(part.state.pointee.counters.cacheFull)
    }
    result.alloc.slow = read(counters.slow)
    result.alloc.slowHighOrder = read(counters.slowHighOrder)
    result.alloc.empty = read(counters.empty)
    result.alloc.refill += read(counters.refill) + handedOver
    result.recycle.cached = balance &+ result.alloc.fast
    result.recycle.ring = read(counters.ring) &+ handedOver
    result.recycle.ringFull = read(counters.ringFull)
    result.recycle.releasedRefcnt = read(counters.releasedReferenceCount)
    result.exhausted = read(counters.exhausted)
    result.reserveExhausted = read(counters.reserveExhausted)
    result.reserveUsed = read(counters.reserveUsed)
    result.closed = read(counters.closed)
    result.refusedTokens = read(counters.refusedTokens)
    return result
  }
}
