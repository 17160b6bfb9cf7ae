// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// The cold part of a pool with one owner: everything off the fast path.
///
/// `PagePool` and `PagePool.Remote` are the user's references to it; the core lives until the pool
/// is closed and the last buffer is back, since the registry holds it until then.
@safe
final class PagePoolCore: PoolCore, @unchecked Sendable {
  // SAFETY: the states and the cache are allocated in init and freed in deinit. The vars are used
  // by who is inside only: the owner thread, or whoever has the duty to end the pool.
  private(set) var state: UnsafeMutablePointer<PagePool.State>
  /// The state that buffers of the reserve belong to: its queue is closed and nobody owns it, so
  /// that they never take the path into a cache. Nil without a reserve.
  private(set) var reserveState: UnsafeMutablePointer<PagePool.State>?
  let cache: UnsafeMutablePointer<RecordReference>

  /// Buffers to take at a time.
  var refillCount: Int
  var tuner = RefillTuner()
  /// Whether every return comes past the core now.
  var hasAttention = false
  /// Batches that came back and were handed out again as they were.
  var queuedBatchCount = 0
  /// Buffers set aside for critical allocations.
  var reserve: [RecordReference] = []

  // Any thread.
  let reserveFill = Atomic<Int>(0)
  /// The object whose end closes the pool.
  let user = Mutex(User())

  /// SAFETY: who gets the pool out of here checks first that its owner has ended.
  struct User: @unchecked Sendable {
    weak var pool: PagePool?
  }

  deinit {
    unsafe PoolCore.free(state)
    unsafe PoolCore.free(reserveState)
    unsafe cache.deallocate()
  }

  init(provider: any MemoryProvider, configuration: PagePool.Configuration) throws {
    let owner = cthreads_enter()
    guard owner != PoolCore.endingThread else { throw PagePoolError.ownedByAnotherThread }
    let attachment = try Attachment(provider, configuration)
    unsafe cache = .allocate(capacity: configuration.cacheCapacity)
    unsafe state = Self.allocateState()
    unsafe reserveState = nil
    refillCount = configuration.refillCount
    super.init(attachment)
    // With a ledger every allocation has to come past it: nothing may wait in the cache.
    if ledger != nil { refillCount = 1 }
    unsafe state.initialize(
      to: PagePool.State(
        base: cache, capacity: configuration.cacheCapacity,
        // The kernel's ring has at most 16384 slots; below 64 one would not hold a burst.
        ringCapacity: min(max(configuration.ringCapacity, 64), 16384),
        listCapacity: ledger == nil ? configuration.ringCapacity : 0, owner: owner,
        slabs: SlabTable(slabs), core: Unmanaged.passUnretained(self),
        fragmentedByteCount: ledger == nil ? iovByteCount : 0))
    if configuration.reserveCount > 0 {
      let reserved = unsafe Self.allocateState()
      unsafe reserved.initialize(
        to: PagePool.State(
          base: cache, capacity: 0, ringCapacity: 1, listCapacity: 0,
          owner: PagePool.State.Owner.closed,
          slabs: SlabTable(slabs), core: Unmanaged.passUnretained(self), fragmentedByteCount: 0))
      unsafe reserved.pointee.queue.ring.close()
      unsafe reserveState = unsafe reserved
    }
    PagePoolRegistry.shared.add(self)
    unsafe PagePool.State.inside(state) {
      refillReserve()
      updateAttention()
    }
  }

  /// Makes every return come past the core, or no longer: the cache is declared full, and the queue
  /// flagged. Costs the fast paths nothing while it is off. A flag that is not needed any more
  /// because of what another thread did goes down at the owner's next turn here. Inside only.
  func updateAttention() {
    let isWanted =
      ledger != nil || waiterCount.load(ordering: .relaxed) > 0
      || isAboveWatermark.load(ordering: .relaxed)
    guard isWanted != hasAttention else { return }
    hasAttention = isWanted
    unsafe state.pointee.limit.store(isWanted ? cache : cache + configuration.cacheCapacity)
    unsafe state.pointee.queue.setWantsAttention(isWanted)
  }

  override func watchReturns() { updateAttention() }

  override func allocateSlow(
    _ priority: PagePool.Priority, _ site: PagePool.CallSite, _ state: PagePool.State.Reference
  ) -> RecordReference? { refillAndTake(priority, site) }

  override func takeQueuedBatch(of count: Int) -> BatchStorage? { takeRingBatch(of: count) }

  override func putOnOwner(_ iov: RecordReference, _ state: PagePool.State.Reference) {
    putAtLeisure(iov)
  }

  override func putAttended(_ iov: RecordReference, _ holder: PagePool.State.Reference) {
    unsafe putUnqueued(iov, holder)
  }

  override var inFlight: PagePool.InFlight { counting(currentInFlight) }
  override var statistics: PagePool.Statistics { counting(currentStatistics) }

  func remember(_ pool: PagePool) {
    let user = User(pool: pool)
    self.user.withLock { $0 = user }
  }

  override func isState(_ holder: PagePool.State.Reference) -> Bool {
    unsafe holder == state || holder == reserveState
  }

  override func record(at index: UInt32) -> UnsafeMutablePointer<NetIOV>? {
    unsafe state.pointee.slabs.record(at: index)
  }

  override func countRefusedToken() {
    unsafe state.pointee.counters.refusedTokens.add(1, ordering: .relaxed)
  }

  override func countHandedOver() {
    unsafe state.pointee.counters.handedOver.add(1, ordering: .relaxed)
  }

  // MARK: The end

  override func closeCaches() {
    let previous = unsafe state.pointee.owner.exchange(
      PagePool.State.Owner.closed, ordering: .acquiringAndReleasing)
    if previous == cthreads_self() || previous == PagePool.State.Owner.nobody {
      unsafe state.pointee.limit.publishNull()
    } else {
      unsafe state.pointee.keepOut()
    }
    // The owner may be in a longer section, also as the caller of this, out of a callback.
    guard unsafe !state.pointee.leaveDutyToOwner() else { return }
    unsafe state.pointee.park()
    drain()
  }

  override func drain() {
    unsafe PagePool.State.endFragments(state)
    // Out of the cache before the provider, which may call back, sees the first.
    let count = unsafe state.pointee.parkedTop.load() - cache
    unsafe state.pointee.parkedTop.publish(cache)
    unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(count))
    unsafe release(UnsafeMutableBufferPointer(start: cache, count: count))
    let whole = unsafe state.pointee.wholeBatchCount.load(ordering: .relaxed)
    if let storage = unsafe state.pointee.takeWholeBatch(of: whole) {
      unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(whole))
      unsafe release(UnsafeMutableBufferPointer(start: storage.slots, count: whole))
      storage.deallocate()
    }
    // The ring first: who finds it full goes on to the overflow. A producer that has taken a slot
    // fills it with its next instructions; there is nothing to wait on but that.
    unsafe state.pointee.queue.ring.close()
    while unsafe !state.pointee.queue.ring.isEmpty {
      if releaseQueued(.max) == 0 { cthreads_yield() }
    }
    releaseQueued(.max)
    unsafe PagePool.State.pushLocal(state.pointee.queue.overflow.close(), state)
    releaseQueued(unsafe state.pointee.localCount.load(ordering: .relaxed))
    reserveFill.store(0, ordering: .relaxed)
    for iov in exchange(&reserve, with: []) { release(iov) }
    unpin()
  }
}

extension PagePool.State {
  /// Runs `body` inside, if the calling thread is the owner; nil and nothing done if it is not.
  @discardableResult
  static func inside<Result>(_ state: Reference, _ body: () -> Result) -> Result? {
    guard unsafe enter(state) else { return nil }
    let result = body()
    unsafe leave(state)
    return result
  }
}
