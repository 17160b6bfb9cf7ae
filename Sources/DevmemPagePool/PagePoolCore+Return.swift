// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Taking buffers back, off the fast path.
extension PagePoolCore {
  /// A return on the owner thread that finds the cache full, or declared full.
  func returnOnOwner(_ iov: NetIOVReference) {
    if !hasAttention, !isAbandoned.load(ordering: .acquiring) {
      unsafe state.pointee.counters.cacheFull.addAsOnlyWriter(1)
      return returnPastCache(iov)
    }
    ledger?.returned(iov)
    if isAbandoned.load(ordering: .acquiring) {
      unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
      drain()
      return returnClosed(iov)
    }
    if handOver(iov) { return }
    let isFull = unsafe state.pointee.stackedCount == configuration.cacheCapacity
    if ledger == nil, !isFull {
      unsafe state.pointee.push(iov.record)
    } else {
      if isFull { unsafe state.pointee.counters.cacheFull.addAsOnlyWriter(1) }
      returnPastCache(iov)
    }
    checkLowWatermark()
    updateAttention()
  }

  /// Onto the local list while that is shorter than the ring capacity, else into the cache, of which a
  /// part goes back to the provider first.
  private func returnPastCache(_ iov: NetIOVReference) {
    guard
      unsafe state.pointee.localCount.load(ordering: .relaxed) >= configuration.ringCapacity,
      ledger == nil
    else {
      unsafe PagePool.State.pushLocal(iov.record, state)
      unsafe state.pointee.counters.ring.addAsOnlyWriter(1)
      return
    }
    unsafe state.pointee.counters.ringFull.addAsOnlyWriter(UInt64(refillCount))
    unloadBottomOfCache(refillCount)
    unsafe state.pointee.push(iov.record)
    if configuration.tunesRefill { refillCount = tuner.overflowed(refillCount) }
  }

  /// A return on another thread that the queue refused: the pool is closed, the buffer is of the
  /// reserve, or returns want attention. Any thread.
  func returnAttended(_ iov: NetIOVReference, _ holder: PagePool.State.Reference) {
    ledger?.returned(iov)
    guard unsafe holder != reserveState,
      unsafe state.pointee.owner.load(ordering: .acquiring) != PagePool.State.closedOwner
    else { return returnClosed(iov) }
    if handOver(iov) { return }
    guard unsafe state.pointee.queue.pushUnattended(iov.record) else { return returnClosed(iov) }
    checkLowWatermark()
  }

  /// A buffer that goes straight back to the provider: its pool is closed, or it is of the reserve.
  /// Any thread.
  func returnClosed(_ iov: NetIOVReference) {
    unsafe state.pointee.counters.releasedReferenceCount.add(1, ordering: .relaxed)
    // One more while this runs, so that giving the last one back does not end the pool under us.
    unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
    giveBack(iov)
    dropOne()
  }

  // MARK: Back to the provider

  /// Gives the whole cache back to the provider. Owner thread, or no other thread can touch it.
  func unloadCache() {
    unloadBottomOfCache(unsafe state.pointee.stackedCount)
    if unsafe state.pointee.stackWholeBatch() {
      unloadBottomOfCache(unsafe state.pointee.stackedCount)
    }
  }

  func unloadBottomOfCache(_ count: Int) {
    guard count > 0 else { return }
    unsafe giveBack(UnsafeMutableBufferPointer(start: cache, count: count))
    let left = unsafe state.pointee.stackedCount - count
    unsafe cache.update(from: cache + count, count: left)
    unsafe state.pointee.top.store(cache + left)
    unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(count))
  }

  /// Gives up to `count` buffers that came back to the provider, 64 at a time. Returns how many.
  @discardableResult
  func giveBackQueued(_ count: Int) -> Int {
    unsafe withUnsafeTemporaryAllocation(of: NetIOVReference.self, capacity: 64) { buffer in
      var given = 0
      while given < count {
        var part = 0
        while part < min(count - given, buffer.count), let iov = takeQueued() {
          unsafe buffer.initializeElement(at: part, to: iov)
          part += 1
        }
        guard part > 0 else { break }
        unsafe giveBack(UnsafeMutableBufferPointer(start: buffer.baseAddress, count: part))
        given += part
      }
      return given
    }
  }

  func giveBack(_ iov: NetIOVReference) {
    unsafe withUnsafeTemporaryAllocation(of: NetIOVReference.self, capacity: 1) { buffer in
      unsafe buffer.initializeElement(at: 0, to: iov)
      unsafe giveBack(buffer)
    }
  }

  /// Buffers leave the pool for the provider.
  func giveBack(_ iovs: UnsafeMutableBufferPointer<NetIOVReference>) {
    for position in iovs.indices {
      unsafe iovs[position].record.pointee.pool.store(nil, ordering: .relaxed)
    }
    unsafe state.pointee.counters.inFlight.subtract(iovs.count, ordering: .relaxed)
    unsafe provider.release(iovs.span)
  }
}
