// SPDX-License-Identifier: Apache-2.0

import CThreads
public import Synchronization

/// The paths off the fast one. All run on the owner thread unless they say otherwise.
extension PagePool.State {
  /// Allocation, begun on a thread that does not own the pool: nil if the pool is closed, else a
  /// trap.
  @usableFromInline
  @inline(never)
  static func allocateNotOwner(_ state: Reference) -> Netmem? {
    unsafe state.pointee.endAllocation(0)
    guard unsafe state.pointee.owner.load(ordering: .relaxed) == Owner.closed else {
      unsafe state.pointee.core.takeUnretainedValue().trapNotOwner()
    }
    unsafe state.pointee.counters.closed.add(1, ordering: .relaxed)
    return nil
  }

  /// Allocation, begun on the owner thread, with an empty cache: refills it, and takes the first
  /// buffer of the refill.
  @usableFromInline
  @inline(never)
  static func allocateSlow(
    _ state: Reference, _ priority: PagePool.Priority, _ site: PagePool.CallSite
  ) -> Netmem? {
    if unsafe state.pointee.wholeBatch != nil, unsafe state.pointee.stackWholeBatch() {
      let record = unsafe state.pointee.pop().record
      unsafe state.pointee.endAllocation(1)
      return unsafe Netmem(record: record)
    }
    unsafe enterFromAllocation(state)
    let found = unsafe state.pointee.core._withUnsafeGuaranteedRef {
      unsafe $0.allocateSlow(priority, site, state)
    }
    unsafe leave(state)
    guard let found else { return nil }
    return unsafe Netmem(record: found.record)
  }

  /// A batch, begun on the owner thread, that the cache, or the spare storage, cannot serve at
  /// once.
  @usableFromInline
  @inline(never)
  static func allocateBatchSlow(
    _ state: Reference, _ count: Int, _ site: PagePool.CallSite
  ) -> NetmemBatch {
    precondition(count > 0, "a batch of at least one buffer")
    unsafe enterFromAllocation(state)
    var batch = unsafe NetmemBatch(storage: nil, count: 0, pool: nil)
    unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      // There are no more buffers than that: whoever asks for Int.max means all.
      let most = core.slabs.reduce(0) { $0 + $1.iovCount }
      batch = unsafe takeBatch(state, min(count, most), site, core)
      // Asking the provider for the next one would say the same.
      if count > most, batch.count == most, unsafe state.pointee.isMine {
        unsafe state.pointee.counters.exhausted.addAsOnlyWriter(1)
      }
    }
    unsafe leave(state)
    return batch
  }

  private static func takeBatch(
    _ state: Reference, _ count: Int, _ site: PagePool.CallSite, _ core: PoolCore
  ) -> NetmemBatch {
    if unsafe state.pointee.cachedCount < count,
      let storage = core.takeQueuedBatch(of: count)
    {
      return unsafe NetmemBatch(storage: storage, count: count, pool: state)
    }
    let storage =
      if count <= BatchStorage.keptCapacity, let kept = unsafe state.pointee.takeStorage() {
        kept
      } else {
        BatchStorage.allocate(capacity: max(count, BatchStorage.keptCapacity))
      }
    var taken = 0
    while taken < count {
      let top = unsafe state.pointee.top.load()
      let part = unsafe min(count - taken, state.pointee.stackedCount)
      unsafe (storage.slots + taken).update(from: top - part, count: part)
      unsafe state.pointee.top.store(top - part)
      unsafe state.pointee.served.addAsOnlyWriter(UInt64(2 * part))
      taken += part
      guard taken < count else { break }
      if unsafe state.pointee.wholeBatch != nil, unsafe state.pointee.stackWholeBatch() { continue }
      guard let iov = unsafe core.allocateSlow(.normal, site, state) else { break }
      unsafe (storage.slots + taken).initialize(to: iov)
      taken += 1
      // A callback may have closed the pool: what it gave so far is the batch.
      guard unsafe state.pointee.isMine else { break }
    }
    return unsafe NetmemBatch(storage: storage, count: taken, pool: state)
  }

  /// Makes a chain from the queue's overflow the local list, which must be empty.
  static func pushLocal(_ chain: ReturnStack.Chain, _ state: Reference) {
    unsafe state.pointee.localHead = chain.first
    unsafe state.pointee.localCount.store(chain.count, ordering: .relaxed)
    unsafe state.pointee.counters.ring.addAsOnlyWriter(UInt64(chain.count))
  }

  /// Puts a buffer before the first of the local list.
  static func pushLocal(_ record: UnsafeMutablePointer<NetIOV>, _ state: Reference) {
    unsafe record.pointee.next = state.pointee.localHead
    unsafe state.pointee.localHead = unsafe record.pointee.index
    unsafe state.pointee.localCount.addAsOnlyWriter(1)
  }

  /// Takes the first buffer of the local list, which must not be empty.
  static func popLocal(_ state: Reference) -> RecordReference {
    guard let record = unsafe state.pointee.slabs.record(at: state.pointee.localHead) else {
      preconditionFailure("the return queue names a buffer that is not of this pool")
    }
    unsafe state.pointee.localHead = unsafe record.pointee.next
    unsafe state.pointee.localCount.addAsOnlyWriter(-1)
    return unsafe RecordReference(record: record)
  }

  /// Moves the first `count` buffers of the local list, which has them, into the empty cache.
  ///
  /// Everything that does not change stays in registers.
  /// - Returns: `count`.
  static func loadLocalList(_ count: Int, _ state: Reference) -> Int {
    var index = unsafe state.pointee.localHead
    var slot = unsafe state.pointee.base
    let end = unsafe state.pointee.base + count
    while unsafe slot < end {
      guard let record = unsafe state.pointee.slabs.record(at: index) else {
        preconditionFailure("the return queue names a buffer that is not of this pool")
      }
      unsafe slot.initialize(to: RecordReference(record: record))
      unsafe slot += 1
      index = unsafe record.pointee.next
    }
    unsafe state.pointee.localHead = index
    unsafe state.pointee.localCount.addAsOnlyWriter(-count)
    unsafe state.pointee.top.store(end)
    return count
  }

  /// Puts a buffer onto the cache, which must have room.
  func push(_ record: UnsafeMutablePointer<NetIOV>) {
    let slot = unsafe top.load()
    unsafe slot.initialize(to: RecordReference(record: record))
    unsafe top.store(slot + 1)
  }

  /// Takes the topmost buffer of the cache, which must not be empty.
  func pop() -> RecordReference {
    let slot = unsafe top.load() - 1
    unsafe top.store(slot)
    return unsafe slot.pointee
  }

  // MARK: Tokens (any thread)

  /// The token for a further reference to a buffer that is detached already.
  @usableFromInline
  @inline(never)
  static func detachShared(_ record: UnsafeMutablePointer<NetIOV>) -> NetmemToken {
    let state = unsafe record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
    return unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
      unsafe SharedTokens.all.detach(RecordReference(record: record), of: core.identity)
    }
  }

  /// On the path of `token` (Benchmarks/Thresholds/instructions.txt).
  @inlinable
  static func reclaim(
    _ token: NetmemToken, _ state: Reference
  ) throws(NetmemTokenError) -> Netmem {
    let generation = token.generation
    if let record = unsafe state.pointee.slabs.record(at: token.index),
      unsafe record.pointee.pool.load(ordering: .relaxed) == state, generation & 1 == 1,
      unsafe record.pointee.generation.compareExchange(
        expected: generation, desired: generation &+ 1, ordering: .acquiring
      ).exchanged
    {
      return unsafe Netmem(record: record)
    }
    return try unsafe reclaimSlow(token, state)
  }

  /// A token that is not of a buffer that came through this pool's cache and is detached with it:
  /// of a second reference, of the reserve, or wrong.
  @usableFromInline
  @inline(never)
  static func reclaimSlow(
    _ token: NetmemToken, _ state: Reference
  ) throws(NetmemTokenError) -> Netmem {
    let result: Result<RecordReference, NetmemTokenError> =
      unsafe state.pointee.core._withUnsafeGuaranteedRef { core in
        let result = core.reclaim(token)
        if case .failure = result { core.countRefusedToken() }
        return result
      }
    return unsafe Netmem(record: try result.get().record)
  }
}

extension PoolCore {
  /// Any token. Any thread.
  func reclaim(_ token: NetmemToken) -> Result<RecordReference, NetmemTokenError> {
    // The locks and the records here may be as another thread of the parent had left them.
    guard !isForked else { return .failure(.stale) }
    if token.isShared { return SharedTokens.all.reclaim(token, for: identity) }
    guard let record = unsafe record(at: token.index) else { return .failure(.foreign) }
    // Of this pool's slabs, but back in the provider, or out for another pool: the token outlived
    // its buffer.
    guard let holder = unsafe record.pointee.pool.load(ordering: .relaxed), unsafe isState(holder)
    else { return .failure(.stale) }
    // Detached buffers have odd generations: another one was made up.
    guard token.generation & 1 == 1 else { return .failure(.stale) }
    let (exchanged, original) = unsafe record.pointee.generation.compareExchange(
      expected: token.generation, desired: token.generation &+ 1, ordering: .acquiring)
    if exchanged { return unsafe .success(RecordReference(record: record)) }
    return .failure(original == token.generation &+ 1 ? .alreadyReclaimed : .stale)
  }

  /// What only the owner may do, on a thread that does not own the pool.
  func trapNotOwner(_ what: StaticString = "allocation") -> Never {
    if isForked { fatalError("PagePool: \(PagePoolError.forked)") }
    fatalError(
      "PagePool: \(what) on a thread that does not own the pool: "
        + "\(PagePoolError.ownedByAnotherThread)"
    )
  }
}
