// SPDX-License-Identifier: Apache-2.0

import CThreadIdentity
import Synchronization

/// The cold part of a pool: provider, slabs, configuration, and everything off the fast path.
///
/// `PagePool` is the user's reference to it; the core itself lives until the pool is closed and the
/// last buffer is back, since the registry holds it until then.
@safe
final class PagePoolCore: @unchecked Sendable {
  // SAFETY: the states and the cache are allocated in init and freed in deinit. What is not immutable
  // here is used on the owner thread only (the vars), is atomic, or is behind a Mutex.
  let state: UnsafeMutablePointer<PagePool.State>
  /// The state that buffers of the reserve belong to: its queue is closed and nobody owns it, so that
  /// they never take the path into a cache. Nil without a reserve.
  let reserveState: UnsafeMutablePointer<PagePool.State>?
  let cache: UnsafeMutablePointer<NetIOVReference>

  let provider: any MemoryProvider
  let slabs: [NetIOVSlab]
  let identity: PagePool.Identity
  let iovByteCount: Int
  let configuration: PagePool.Configuration
  /// Who holds what since when; nil unless the pool was made while `PagePool.isDebugging`.
  let ledger: Ledger?

  // Owner thread only.
  /// Buffers to take at a time.
  var refillCount: Int
  var tuner = RefillTuner()
  /// Whether every return comes past the core now.
  var hasAttention = false
  /// Batches that came back and were handed out again as they were.
  var returnedBatchCount = 0
  /// Buffers set aside for critical allocations.
  var reserve: [NetIOVReference] = []

  // Any thread.
  let reserveFill = Atomic<Int>(0)
  let nodeFilter: Mutex<Int?>
  /// Whether `nodeFilter` has a value: spares the refill the lock.
  let hasNodeFilter: Atomic<Bool>
  let isAbandoned = Atomic<Bool>(false)
  /// Whether more is held than the high watermark, until no more is than the low one.
  let isAboveWatermark = Atomic<Bool>(false)
  let waiters = Mutex(WaiterList())
  let waiterCount = Atomic<Int>(0)
  let ending = Mutex(Ending())
  let sharedTokens = Mutex(SharedTokens())

  struct SharedTokens {
    var nextSerial: UInt32 = 0
    var references: [UInt32: NetIOVReference] = [:]
  }

  deinit {
    unsafe BatchStorage.deallocateList(state.pointee.spareStorage)
    unsafe state.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(state).deallocate()
    unsafe reserveState?.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(reserveState)?.deallocate()
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
    self.configuration = configuration
    ledger = PagePool.isDebugging ? Ledger() : nil
    // With a ledger every allocation has to come past it: nothing may wait in the cache.
    refillCount = ledger == nil ? configuration.refillCount : 1
    nodeFilter = Mutex(configuration.node)
    hasNodeFilter = Atomic(configuration.node != nil)
    unsafe cache = .allocate(capacity: configuration.cacheCapacity)
    unsafe state = Self.allocateState()
    unsafe reserveState = configuration.reserveCount > 0 ? Self.allocateState() : nil
    unsafe state.initialize(
      to: PagePool.State(
        base: cache, capacity: configuration.cacheCapacity,
        // The kernel's ring has at most 16384 slots; below 64 one would not hold a burst.
        ringCapacity: min(max(configuration.ringCapacity, 64), 16384), owner: cthread_identity(),
        slabs: SlabTable(slabs), core: Unmanaged.passUnretained(self)))
    unsafe reserveState?.initialize(
      to: PagePool.State(
        base: cache, capacity: 0, ringCapacity: 1, owner: PagePool.State.closedOwner,
        slabs: SlabTable([]),
        core: Unmanaged.passUnretained(self)))
    unsafe reserveState?.pointee.queue.ring.close()
    fillReserve()
    updateAttention()
    PagePoolRegistry.shared.add(self)
  }

  private static func allocateState() -> UnsafeMutablePointer<PagePool.State> {
    // 128: a pair of cache lines, which processors fetch together.
    unsafe UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<PagePool.State>.size, alignment: 128
    ).bindMemory(to: PagePool.State.self, capacity: 1)
  }

  /// Makes every return come past the core, or no longer: the cache is declared full, and the queue
  /// flagged. Costs the fast paths nothing while it is off. A flag that is not needed any more because of what
  /// another thread did goes down at the owner's next turn here. Owner thread only.
  func updateAttention() {
    let isWanted =
      ledger != nil || waiterCount.load(ordering: .relaxed) > 0
      || isAboveWatermark.load(ordering: .relaxed)
    guard isWanted != hasAttention else { return }
    hasAttention = isWanted
    unsafe state.pointee.limit.store(isWanted ? cache : cache + configuration.cacheCapacity)
    unsafe state.pointee.queue.setWantsAttention(isWanted)
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
}
