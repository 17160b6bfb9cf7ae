// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// The paths off the fast one. All run on the owner thread unless they say otherwise.
extension PagePool.State {
  /// Allocation on a thread that does not own the pool: nil if the pool is closed, else a trap.
  @usableFromInline
  @inline(never)
  static func allocateNotOwner(_ state: Reference) -> Netmem? {
    guard unsafe state.pointee.owner.load(ordering: .relaxed) == closedOwner else {
      fatalError(
        """
        PagePool: allocation on a thread that does not own the pool: allocate on the thread that \
        made it, or relinquish() there and claim() here
        """)
    }
    unsafe state.pointee.counters.closed.add(1, ordering: .relaxed)
    return nil
  }

  /// Allocation with an empty cache: refills it, and takes the first buffer of the refill.
  @usableFromInline
  @inline(never)
  static func allocateSlow(
    _ state: Reference, _ priority: PagePool.Priority, _ site: PagePool.CallSite
  ) -> Netmem? {
    if unsafe state.pointee.wholeBatch != nil, unsafe state.pointee.stackWholeBatch() {
      unsafe state.pointee.fast.addAsOnlyWriter(1)
      return unsafe Netmem(record: state.pointee.pop().record)
    }
    let found = unsafe state.pointee.core._withUnsafeGuaranteedRef {
      $0.allocateSlow(priority, site)
    }
    guard let found else { return nil }
    return unsafe Netmem(record: found.record)
  }

  /// A batch that the cache, or the spare storage, cannot serve at once.
  @usableFromInline
  @inline(never)
  static func allocateBatchSlow(
    _ state: Reference, _ count: Int, _ site: PagePool.CallSite
  ) -> NetmemBatch {
    precondition(count > 0, "a batch of at least one buffer")
    guard unsafe state.pointee.isMine else {
      // Traps, or counts that the pool is closed.
      _ = unsafe allocateNotOwner(state)
      return NetmemBatch(capacity: 1)
    }
    if unsafe state.pointee.cachedCount < count,
      let storage = unsafe state.pointee.core._withUnsafeGuaranteedRef({
        $0.takeReturnedBatch(of: count)
      })
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
      unsafe state.pointee.fast.addAsOnlyWriter(UInt64(part))
      taken += part
      guard taken < count, let netmem = unsafe allocateSlow(state, .normal, site) else { break }
      unsafe (storage.slots + taken).initialize(to: NetIOVReference(record: netmem.forget()))
      taken += 1
    }
    return unsafe NetmemBatch(storage: storage, count: taken, pool: state)
  }

  /// Makes a chain from the queue's overflow the local list, which must be empty.
  static func adopt(_ chain: ReturnStack.Chain, _ state: Reference) {
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
  static func popLocal(_ state: Reference) -> NetIOVReference {
    guard let record = unsafe state.pointee.slabs.record(at: state.pointee.localHead) else {
      preconditionFailure("the return queue names a buffer that is not of this pool")
    }
    unsafe state.pointee.localHead = unsafe record.pointee.next
    unsafe state.pointee.localCount.addAsOnlyWriter(-1)
    return unsafe NetIOVReference(record: record)
  }

  /// Moves the first `count` buffers of the local list, which has them, into the empty cache.
  ///
  /// 11 instructions a buffer: everything that does not change stays in registers.
  /// - Returns: `count`.
  static func loadLocalList(_ count: Int, _ state: Reference) -> Int {
    var index = unsafe state.pointee.localHead
    var slot = unsafe state.pointee.base
    let end = unsafe state.pointee.base + count
    while unsafe slot < end {
      guard let record = unsafe state.pointee.slabs.record(at: index) else {
        preconditionFailure("the return queue names a buffer that is not of this pool")
      }
      unsafe slot.initialize(to: NetIOVReference(record: record))
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
    unsafe slot.initialize(to: NetIOVReference(record: record))
    unsafe top.store(slot + 1)
  }

  /// Takes the topmost buffer of the cache, which must not be empty.
  func pop() -> NetIOVReference {
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
      unsafe core.shareToken(for: NetIOVReference(record: record))
    }
  }

  static func reclaim(
    _ token: NetmemToken, _ state: Reference
  ) throws(NetmemTokenError) -> Netmem {
    guard let record = unsafe state.pointee.slabs.record(at: token.index),
      unsafe record.pointee.pool.load(ordering: .relaxed) == state
    else { return try unsafe reclaimElsewhere(token, state) }
    return try unsafe reclaim(token, record, state)
  }

  private static func reclaim(
    _ token: NetmemToken, _ record: UnsafeMutablePointer<NetIOV>, _ state: Reference
  ) throws(NetmemTokenError) -> Netmem {
    guard token.generation & 1 == 1 else {
      // Detached buffers have odd generations: this one was made up.
      unsafe state.pointee.counters.refusedTokens.add(1, ordering: .relaxed)
      throw .stale
    }
    let (exchanged, original) = unsafe record.pointee.generation.compareExchange(
      expected: token.generation, desired: token.generation &+ 1, ordering: .acquiring)
    if exchanged { return unsafe Netmem(record: record) }
    unsafe state.pointee.counters.refusedTokens.add(1, ordering: .relaxed)
    throw original == token.generation &+ 1 ? .alreadyReclaimed : .stale
  }

  /// A token whose index is of no buffer that came through this pool's cache: a shared reference's, one
  /// of the reserve, or wrong.
  @inline(never)
  private static func reclaimElsewhere(
    _ token: NetmemToken, _ state: Reference
  ) throws(NetmemTokenError) -> Netmem {
    if token.index == NetmemToken.sharedIndex {
      let found = unsafe state.pointee.core._withUnsafeGuaranteedRef { $0.reclaimShared(token) }
      if let found { return unsafe Netmem(record: found.record) }
      unsafe state.pointee.counters.refusedTokens.add(1, ordering: .relaxed)
      throw .alreadyReclaimed
    }
    if let record = unsafe state.pointee.slabs.record(at: token.index),
      let holder = unsafe record.pointee.pool.load(ordering: .relaxed),
      unsafe holder == state.pointee.core._withUnsafeGuaranteedRef({ unsafe $0.reserveState })
    {
      return try unsafe reclaim(token, record, state)
    }
    unsafe state.pointee.counters.refusedTokens.add(1, ordering: .relaxed)
    // Of this pool's slabs, but back in the provider: the token outlived its buffer.
    throw unsafe state.pointee.slabs.record(at: token.index) == nil ? .foreign : .stale
  }
}
