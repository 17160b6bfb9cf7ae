// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// The cold part of a pool: provider, slabs, configuration, and the way a pool ends.
///
/// `PagePool` is the user's reference to it; the core itself lives until the pool is closed and the
/// last buffer is back, since the registry holds it until then.
@safe
final class PagePoolCore: @unchecked Sendable {
  // SAFETY: `state` and the cache are allocated in init and freed in deinit. What is not immutable
  // here is either only used on the owner thread (`nodeFilter`) or behind a Mutex.
  let state: UnsafeMutablePointer<PagePool.State>
  private let cache: UnsafeMutablePointer<NetIOVReference>
  let provider: any MemoryProvider
  private let slabs: [NetIOVSlab]
  let identity: PagePool.Identity
  let iovByteCount: Int
  let refillCount: Int
  let ringCapacity: Int
  private let nodeFilter: Mutex<Int?>
  /// Whether `nodeFilter` has a value: spares the refill the lock.
  private let hasNodeFilter: Atomic<Bool>
  private let abandoned = Atomic<Bool>(false)
  private let ending = Mutex(Ending())
  private let sharedTokens = Mutex(SharedTokens())

  private struct Ending {
    var closedAt: ContinuousClock.Instant?
    var isDrained = false
    var waiters: [@Sendable () -> Void] = []
  }

  private struct SharedTokens {
    var nextSerial: UInt32 = 0
    var references: [UInt32: NetIOVReference] = [:]
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(state).deallocate()
    unsafe cache.deallocate()
  }

  init(provider: any MemoryProvider, configuration: PagePool.Configuration) throws {
    try configuration.validate()
    let identity = PagePoolRegistry.shared.nextIdentity(name: configuration.name)
    let slabs = try provider.attach(to: identity)
    let sizes = Set(slabs.map(\.iovByteCount))
    guard sizes.count == 1, let iovByteCount = sizes.first else {
      provider.detach(from: identity)
      throw PagePoolError.mixedIOVByteCounts(sizes.sorted())
    }
    self.provider = provider
    self.slabs = slabs
    self.identity = identity
    self.iovByteCount = iovByteCount
    refillCount = configuration.refillCount
    ringCapacity = configuration.ringCapacity
    nodeFilter = Mutex(configuration.node)
    hasNodeFilter = Atomic(configuration.node != nil)
    unsafe cache = .allocate(capacity: configuration.cacheCapacity)
    // 128: a pair of cache lines, which processors fetch together.
    unsafe state = unsafe UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<PagePool.State>.size, alignment: 128
    ).bindMemory(to: PagePool.State.self, capacity: 1)
    unsafe state.initialize(
      to: PagePool.State(
        base: cache, capacity: configuration.cacheCapacity, owner: cthread_identity(),
        slabs: SlabTable(slabs), core: Unmanaged.passUnretained(self)))
    PagePoolRegistry.shared.add(self)
  }

  // MARK: Refill (owner thread)

  /// Refills the empty cache and counts where from. False if there was nothing to be had.
  func refillCache() -> Bool {
    if refillFromLocalList() {
      unsafe state.pointee.counters.refill.addAsOnlyWriter(1)
    } else if !refillFromProvider() {
      unsafe state.pointee.counters.exhausted.addAsOnlyWriter(1)
      return false
    } else if iovByteCount > 4096 {
      unsafe state.pointee.counters.slowHighOrder.addAsOnlyWriter(1)
    } else {
      unsafe state.pointee.counters.slow.addAsOnlyWriter(1)
    }
    return true
  }

  /// Moves buffers from the local list into the empty cache. False if there was none to use.
  private func refillFromLocalList() -> Bool {
    let filter = hasNodeFilter.load(ordering: .relaxed) ? node : nil
    var loaded = 0
    while loaded < refillCount, unsafe state.pointee.localCount.load(ordering: .relaxed) > 0 {
      let iov = unsafe state.pointee.popLocal()
      if let filter, let node = iov.area.node, node != filter {
        unsafe state.pointee.counters.waive.addAsOnlyWriter(1)
        giveBack(iov)
      } else {
        unsafe state.pointee.push(iov.record)
        loaded += 1
      }
    }
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(loaded))
    while unsafe state.pointee.localCount.load(ordering: .relaxed) > ringCapacity {
      unsafe state.pointee.counters.ringFull.addAsOnlyWriter(1)
      giveBack(unsafe state.pointee.popLocal())
    }
    return loaded > 0
  }

  /// Fills the empty cache from the provider, up to the refill count. False if it had none.
  private func refillFromProvider() -> Bool {
    let buffer = unsafe UnsafeMutableBufferPointer(start: cache, count: refillCount)
    var span = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
    provider.refill(&span)
    let count = unsafe span.finalize(for: buffer)
    for position in 0..<count {
      let record = unsafe cache[position].record
      precondition(
        unsafe state.pointee.slabs.record(at: record.pointee.index) == record,
        "the provider handed out a buffer of a slab that it did not name in attach(to:)")
      let (free, _) = unsafe record.pointee.pool.compareExchange(
        expected: nil, desired: state, ordering: .relaxed)
      precondition(free, "the provider handed out a buffer that is in use")
    }
    unsafe state.pointee.top.store(cache + count)
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(count))
    unsafe state.pointee.counters.inFlight.addAsOnlyWriter(count)
    return count > 0
  }

  /// Makes room in a full cache: its oldest buffers, a refill's worth, go back to the provider.
  func spillBottomOfCache() {
    unsafe state.pointee.counters.ringFull.addAsOnlyWriter(UInt64(refillCount))
    unloadBottomOfCache(refillCount)
  }

  private func unloadBottomOfCache(_ count: Int) {
    unsafe giveBack(UnsafeMutableBufferPointer(start: cache, count: count))
    let left = unsafe state.pointee.cachedCount - count
    unsafe cache.update(from: cache + count, count: left)
    unsafe state.pointee.top.store(cache + left)
    unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(count))
  }

  private func giveBackLocalList() {
    while unsafe state.pointee.localCount.load(ordering: .relaxed) > 0 {
      giveBack(unsafe state.pointee.popLocal())
    }
  }

  private func giveBack(_ iov: NetIOVReference) {
    unsafe withUnsafeTemporaryAllocation(of: NetIOVReference.self, capacity: 1) { buffer in
      unsafe buffer.initialize(repeating: iov)
      unsafe giveBack(buffer)
    }
  }

  /// Buffers leave the pool for the provider.
  private func giveBack(_ iovs: UnsafeMutableBufferPointer<NetIOVReference>) {
    for position in iovs.indices {
      unsafe iovs[position].record.pointee.pool.store(nil, ordering: .relaxed)
    }
    unsafe state.pointee.counters.inFlight.subtract(iovs.count, ordering: .relaxed)
    unsafe provider.release(iovs.span)
  }

  // MARK: Node

  var node: Int? { nodeFilter.withLock { $0 } }

  func changeNode(to node: Int?) {
    precondition(
      unsafe state.pointee.owner.load(ordering: .relaxed) == cthread_identity(),
      "only the owner thread can change a PagePool's node")
    nodeFilter.withLock { $0 = node }
    hasNodeFilter.store(node != nil, ordering: .relaxed)
    let cached = unsafe state.pointee.cachedCount
    guard node != nil, cached > 0 else { return }
    unloadBottomOfCache(cached)
  }

  // MARK: Shared tokens (any thread)

  func shareToken(for iov: NetIOVReference) -> NetmemToken {
    sharedTokens.withLock { tokens in
      repeat { tokens.nextSerial &+= 1 } while tokens.references[tokens.nextSerial] != nil
      tokens.references[tokens.nextSerial] = iov
      return NetmemToken(index: NetmemToken.sharedIndex, generation: tokens.nextSerial)
    }
  }

  func reclaimShared(_ token: NetmemToken) -> NetIOVReference? {
    sharedTokens.withLock { $0.references.removeValue(forKey: token.generation) }
  }

  // MARK: The end

  /// Closes the pool to allocation and gives everything that nobody holds back to the provider.
  func beginClosing() throws(PagePoolError) {
    let me = cthread_identity()
    let owner = unsafe state.pointee.owner.compareExchange(
      expected: 0, desired: me, ordering: .acquiringAndReleasing
    ).original
    if owner == PagePool.State.closedOwner { return }
    guard owner == 0 || owner == me else { throw .ownedByAnotherThread }
    drain()
  }

  /// Gives back everything that nobody holds, and ends the pool if that is all. Owner thread, or no
  /// other thread can touch the cache.
  func drain() {
    ending.withLock { $0.closedAt = .now }
    // One more than there are, so that no return on another thread ends the pool meanwhile.
    unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
    unsafe state.pointee.owner.store(PagePool.State.closedOwner, ordering: .releasing)
    let left = unsafe state.pointee.queue.close()
    unloadBottomOfCache(unsafe state.pointee.cachedCount)
    giveBackLocalList()
    unsafe state.pointee.adopt(left)
    giveBackLocalList()
    dropOne()
  }

  /// A buffer dies after the pool was closed. Any thread.
  func releaseAfterClose(_ iov: NetIOVReference) {
    unsafe state.pointee.counters.releasedReferenceCount.add(1, ordering: .relaxed)
    unsafe state.pointee.counters.inFlight.add(1, ordering: .relaxed)
    giveBack(iov)
    dropOne()
  }

  /// Takes one off the number in flight; the one that makes it 0 ends the pool.
  private func dropOne() {
    let left = unsafe state.pointee.counters.inFlight.subtract(1, ordering: .acquiringAndReleasing)
    guard left.newValue == 0 else { return }
    let waiters = ending.withLock { ending in
      ending.isDrained = true
      return exchange(&ending.waiters, with: [])
    }
    provider.detach(from: identity)
    // The registry's reference may be the last one: it has to outlast this call.
    let registered = PagePoolRegistry.shared.remove(self)
    withExtendedLifetime(registered) {
      for waiter in waiters { waiter() }
    }
  }

  /// Calls `waiter` when the last buffer is back, or now if it is already.
  func whenDrained(_ waiter: @escaping @Sendable () -> Void) {
    let isDrained = ending.withLock { ending in
      if !ending.isDrained { ending.waiters.append(waiter) }
      return ending.isDrained
    }
    if isDrained { waiter() }
  }

  /// The user's last reference is gone.
  ///
  /// On the owner thread, or with no owner, that closes the pool. On another thread the owner may be
  /// returning a buffer to the cache at this moment, so its cache is out of bounds unless no buffer
  /// is held. Then the cache is declared full, and the owner's next return closes the pool. A return
  /// that is under way right now can miss that: if it was the last one, the pool stays in the
  /// registry as an orphan.
  func abandon() {
    do {
      try beginClosing()
    } catch {
      abandoned.store(true, ordering: .releasing)
      unsafe state.pointee.limit.store(cache)
      if inFlight.held == 0 { drain() }
    }
  }

  var isAbandoned: Bool { abandoned.load(ordering: .acquiring) }

  // MARK: Introspection

  /// Nil while the pool is open.
  var timeSinceClose: Duration? {
    ending.withLock { $0.closedAt.map { ContinuousClock.now - $0 } }
  }

  var inFlight: PagePool.InFlight {
    // A closed pool keeps nothing: all that is in flight is held.
    let cached = unsafe state.pointee.cachedCount
    let queued =
      unsafe state.pointee.localCount.load(ordering: .relaxed)
      + state.pointee.queue.count
    let total = unsafe state.pointee.counters.inFlight.load(ordering: .relaxed)
    return PagePool.InFlight(held: total - cached - queued, cached: cached, queued: queued)
  }

  var statistics: PagePool.Statistics {
    let state = unsafe self.state
    var result = PagePool.Statistics()
    result.alloc.fast = unsafe state.pointee.fast.load(ordering: .relaxed)
    result.alloc.slow = unsafe state.pointee.counters.slow.load(ordering: .relaxed)
    result.alloc.slowHighOrder = unsafe state.pointee.counters.slowHighOrder.load(
      ordering: .relaxed)
    result.alloc.empty = unsafe state.pointee.counters.empty.load(ordering: .relaxed)
    result.alloc.refill = unsafe state.pointee.counters.refill.load(ordering: .relaxed)
    result.alloc.waive = unsafe state.pointee.counters.waive.load(ordering: .relaxed)
    // Not counted on the fast path: what is in the cache, and what left it, must have come in.
    let unloaded = unsafe state.pointee.counters.unloaded.load(ordering: .relaxed)
    let loaded = unsafe state.pointee.counters.loaded.load(ordering: .relaxed)
    let cached = unsafe UInt64(state.pointee.cachedCount)
    result.recycle.cached = cached &+ result.alloc.fast &+ unloaded &- loaded
    result.recycle.cacheFull = unsafe state.pointee.counters.cacheFull.load(ordering: .relaxed)
    result.recycle.ring =
      unsafe state.pointee.counters.ring.load(ordering: .relaxed)
      + UInt64(state.pointee.queue.count)
    result.recycle.ringFull = unsafe state.pointee.counters.ringFull.load(ordering: .relaxed)
    result.recycle.releasedRefcnt = unsafe state.pointee.counters.releasedReferenceCount.load(
      ordering: .relaxed)
    result.exhausted = unsafe state.pointee.counters.exhausted.load(ordering: .relaxed)
    result.closed = unsafe state.pointee.counters.closed.load(ordering: .relaxed)
    result.refusedTokens = unsafe state.pointee.counters.refusedTokens.load(ordering: .relaxed)
    return result
  }
}
