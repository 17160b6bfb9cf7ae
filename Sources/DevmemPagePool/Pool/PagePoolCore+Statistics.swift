// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Reading the counters. Any thread; exact on the owner's.
extension PagePoolCore {
  var currentInFlight: PagePool.InFlight {
    let state = unsafe self.state
    // The IOV that fragments are cut from is with the user only while one of them lives.
    let idle = unsafe state.pointee.isMine && state.pointee.fragments.isIdle ? 1 : 0
    let cached = unsafe state.pointee.cachedCount + idle
    let queued =
      unsafe state.pointee.localCount.load(ordering: .relaxed)
      + state.pointee.queue.count
    let reserved = reserveFill.load(ordering: .relaxed)
    let total = outCount
    return PagePool.InFlight(
      held: total - cached - queued - reserved, cached: cached, queued: queued, reserved: reserved)
  }

  var currentStatistics: PagePool.Statistics {
    let state = unsafe self.state
    func read(_ counter: borrowing Atomic<UInt64>) -> UInt64 { counter.load(ordering: .relaxed) }
    var result = PagePool.Statistics()
    let handedOver = unsafe read(state.pointee.counters.handedOver)
    result.alloc.fast = unsafe read(state.pointee.served) >> 1
    result.alloc.slow = unsafe read(state.pointee.counters.slow)
    result.alloc.slowHighOrder = unsafe read(state.pointee.counters.slowHighOrder)
    result.alloc.empty = unsafe read(state.pointee.counters.empty)
    result.alloc.refill = unsafe read(state.pointee.counters.refill) + handedOver
    result.alloc.waive = unsafe read(state.pointee.counters.waive)
    // Not counted on the fast path: what is in the cache, and what left it, must have come in.
    let unloaded = unsafe read(state.pointee.counters.unloaded)
    let loaded = unsafe read(state.pointee.counters.loaded)
    let cached = unsafe UInt64(state.pointee.cachedCount)
    result.recycle.cached = cached &+ result.alloc.fast &+ unloaded &- loaded
    result.recycle.cacheFull = unsafe read(state.pointee.counters.cacheFull)
    result.recycle.ring =
      unsafe read(state.pointee.counters.ring) + state.pointee.queue.pushedCount + handedOver
    result.recycle.ringFull = unsafe read(state.pointee.counters.ringFull)
    result.recycle.releasedRefcnt = unsafe read(state.pointee.counters.releasedReferenceCount)
    result.exhausted = unsafe read(state.pointee.counters.exhausted)
    result.reserveExhausted = unsafe read(state.pointee.counters.reserveExhausted)
    result.reserveUsed = unsafe read(state.pointee.counters.reserveUsed)
    result.tooLarge = unsafe read(state.pointee.counters.tooLarge)
    result.closed = unsafe read(state.pointee.counters.closed)
    result.refusedTokens = unsafe read(state.pointee.counters.refusedTokens)
    return result
  }
}
