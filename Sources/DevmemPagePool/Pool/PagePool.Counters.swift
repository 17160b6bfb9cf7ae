// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension PagePool.State {
  /// One counter for each way out of the allocate and return paths. All are written by the owner
  /// thread, except those that say otherwise; any thread may read them.
  struct Counters: ~Copyable {
    /// Allocations that needed a refill from the return queue.
    let refill = Atomic<UInt64>(0)
    /// Refills from the provider, of IOVs of up to 4 KiB and of larger ones.
    let slow = Atomic<UInt64>(0)
    let slowHighOrder = Atomic<UInt64>(0)
    /// Refills that found the return queue empty.
    let empty = Atomic<UInt64>(0)
    /// Allocations that got nothing: the provider was exhausted, the reserve was too, a fragment
    /// was larger than an IOV, the pool was closed (any thread).
    let exhausted = Atomic<UInt64>(0)
    let reserveExhausted = Atomic<UInt64>(0)
    let tooLarge = Atomic<UInt64>(0)
    let closed = Atomic<UInt64>(0)
    /// Critical allocations that the reserve served.
    let reserveUsed = Atomic<UInt64>(0)
    /// Buffers that went from the one who returned them straight to a task that waited. Any thread.
    let handedOver = Atomic<UInt64>(0)
    /// Buffers given back to the provider for lying on another node than the pool's.
    let waive = Atomic<UInt64>(0)
    /// Returns that found the cache full.
    let cacheFull = Atomic<UInt64>(0)
    /// Buffers that the owner itself put on the local list, and that it took from the queue.
    let ring = Atomic<UInt64>(0)
    /// Buffers given back to the provider because cache and list were full.
    let ringFull = Atomic<UInt64>(0)
    /// Buffers that went straight back to the provider: of the reserve, or returned after the pool
    /// was closed. Written by any thread.
    let releasedReferenceCount = Atomic<UInt64>(0)
    /// Buffers moved into the cache other than by a return, and out of it other than by an
    /// allocation: `cached` follows from them.
    let loaded = Atomic<UInt64>(0)
    let unloaded = Atomic<UInt64>(0)
    /// Tokens refused. Written by any thread.
    let refusedTokens = Atomic<UInt64>(0)
  }
}

extension Atomic where Value == UInt64 {
  /// Adds without a locked instruction: for counters with one writer.
  @inlinable
  func addAsOnlyWriter(_ amount: UInt64) {
    store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }
}

extension Atomic where Value == Int {
  /// Adds without a locked instruction: for counters with one writer.
  @inlinable
  func addAsOnlyWriter(_ amount: Int) {
    store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }
}
