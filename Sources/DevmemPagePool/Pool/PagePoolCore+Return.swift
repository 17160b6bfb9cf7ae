// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Taking buffers back, off the fast path.
extension PagePoolCore {
  /// A return on the owner thread that finds the cache full, or declared full. Inside.
  func putAtLeisure(_ iov: RecordReference) {
    guard hasAttention else {
      unsafe state.pointee.counters.cacheFull.addAsOnlyWriter(1)
      return putPastCache(iov)
    }
    ledger?.returned(iov)
    if handOver(iov, else: { false }) == .handedOver { return updateAttention() }
    let isFull = unsafe state.pointee.stackedCount == configuration.cacheCapacity
    if ledger == nil, !isFull {
      unsafe state.pointee.push(iov.record)
    } else {
      if isFull { unsafe state.pointee.counters.cacheFull.addAsOnlyWriter(1) }
      putPastCache(iov)
    }
    checkLowWatermark()
    updateAttention()
  }

  /// Onto the local list while that is shorter than the ring capacity, else into the cache, of
  /// which a part goes back to the provider first.
  private func putPastCache(_ iov: RecordReference) {
    guard
      unsafe state.pointee.localCount.load(ordering: .relaxed) >= configuration.ringCapacity,
      ledger == nil
    else {
      unsafe PagePool.State.pushLocal(iov.record, state)
      unsafe state.pointee.counters.ring.addAsOnlyWriter(1)
      return
    }
    let count = unsafe min(refillCount, state.pointee.stackedCount)
    unsafe state.pointee.counters.ringFull.addAsOnlyWriter(UInt64(count))
    if configuration.tunesRefill { refillCount = tuner.overflowed(refillCount) }
    releaseBottomOfCache(count)
    // The provider may have called back and filled the cache again.
    if unsafe state.pointee.stackedCount < configuration.cacheCapacity {
      unsafe state.pointee.push(iov.record)
    } else {
      unsafe PagePool.State.pushLocal(iov.record, state)
      unsafe state.pointee.counters.ring.addAsOnlyWriter(1)
    }
  }

  /// A return that the queue refused: the pool is closed, the buffer is of the reserve, returns
  /// want attention, or this is a forked child. Any thread.
  func putUnqueued(_ iov: RecordReference, _ holder: PagePool.State.Reference) {
    // The buffer is the parent's, which has it out as well.
    guard !isForked else { return }
    ledger?.returned(iov)
    // Once the buffer is released away nothing but this keeps the pool.
    pin()
    let isReserved = unsafe holder == reserveState
    let outcome =
      isReserved
      ? .refused
      : handOver(iov, else: { unsafe state.pointee.queue.pushUnattended(iov.record) })
    switch outcome {
    case .handedOver: break
    case .pushed: checkLowWatermark()
    case .refused:
      unsafe state.pointee.counters.releasedReferenceCount.add(1, ordering: .relaxed)
      release(iov)
      checkLowWatermark()
    }
    unpin()
  }

  // MARK: Back to the provider

  /// Gives the whole cache back to the provider. Inside.
  func releaseCache() {
    releaseBottomOfCache(unsafe state.pointee.stackedCount)
    if unsafe state.pointee.stackWholeBatch() {
      releaseBottomOfCache(unsafe state.pointee.stackedCount)
    }
  }

  /// Takes the bottom out first, then gives it back: the provider may call back.
  func releaseBottomOfCache(_ count: Int) {
    guard count > 0 else { return }
    unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: count) { bottom in
      unsafe bottom.baseAddress.unsafelyUnwrapped.initialize(from: cache, count: count)
      let left = unsafe state.pointee.stackedCount - count
      unsafe cache.update(from: cache + count, count: left)
      unsafe state.pointee.top.store(cache + left)
      unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(count))
      unsafe release(bottom)
    }
  }

  /// Gives up to `count` buffers that came back to the provider, 64 at a time. Returns how many.
  /// Inside, or with the duty to end the pool.
  @discardableResult
  func releaseQueued(_ count: Int) -> Int {
    unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: 64) { buffer in
      var released = 0
      while released < count {
        var part = 0
        while part < min(count - released, buffer.count), let iov = takeQueued() {
          unsafe buffer.initializeElement(at: part, to: iov)
          part += 1
        }
        guard part > 0 else { break }
        unsafe release(UnsafeMutableBufferPointer(start: buffer.baseAddress, count: part))
        released += part
      }
      return released
    }
  }
}
