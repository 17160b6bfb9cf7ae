// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// The cold part of a ``SharedPagePool``: the threads' parts of it, and the depot between them and
/// the provider.
///
/// Everything here is under one lock, but calls of the provider and of the user's callbacks, which
/// are made without it. How a thread is kept out of its own part is in docs/life-cycle.md.
@safe
final class SharedPoolCore: PoolCore, @unchecked Sendable {
  // SAFETY: states and their caches are allocated here and freed in deinit; who may be in them is
  // above.
  let depot = Mutex(Depot())
  /// The state that buffers are out for which a thread without a part took from the provider.
  let home: PagePool.State.Reference
  /// What is counted under the lock, or by any thread.
  let counters = PagePool.State.Counters()
  /// By which threads find their part.
  let key: UInt64

  /// A thread's part.
  @safe
  struct Part: Hashable, @unchecked Sendable {
    // SAFETY: lives as long as the core; who may do what with it is in PagePool.State+Member.swift.
    let state: PagePool.State.Reference

    static func == (one: Part, other: Part) -> Bool { unsafe one.state == other.state }
    func hash(into hasher: inout Hasher) { unsafe hasher.combine(state) }
  }

  /// What the threads have in common; behind the lock.
  struct Depot {
    /// Buffers in nobody's cache: magazines of one refill each, which change hands as they are, and
    /// single ones, last in first out.
    var magazines: [BatchStorage] = []
    var iovs: [RecordReference] = []
    /// Magazines without buffers.
    var emptyMagazines: [BatchStorage] = []
    /// Buffers set aside for critical allocations.
    var reserve: [RecordReference] = []
    /// The threads' parts: those in use by their thread's number, and those whose thread has ended.
    var parts: [UInt64: Part] = [:]
    var spareParts: [Part] = []
    /// All of them.
    var allParts: Set<Part> = []
    /// No part is filled any more.
    var isClosed = false
  }

  deinit {
    unsafe home.pointee.base.deallocate()
    unsafe PoolCore.free(home)
    for magazine in depot.withLock({ $0.emptyMagazines }) { magazine.deallocate() }
    for part in depot.withLock({ $0.allParts }) {
      unsafe part.state.pointee.base.deallocate()
      unsafe PoolCore.free(part.state)
    }
  }

  init(provider: any MemoryProvider, configuration: PagePool.Configuration) throws {
    try Self.validate(configuration)
    let attachment = try Attachment(provider, configuration)
    key = attachment.identity.id << UInt64(CTHREADS_KEY_SHIFT)
    unsafe home = Self.allocateState()
    super.init(attachment)
    unsafe initialize(home, capacity: 0, owner: PagePool.State.Owner.closed)
    Self.noticeThreadEnds
    PagePoolRegistry.shared.add(self)
    unsafe refillReserve(for: home)
  }

  /// What only a pool with one owner can do.
  private static func validate(
    _ configuration: PagePool.Configuration
  ) throws(PagePoolError) {
    guard configuration.node == nil else {
      throw .invalidConfiguration(
        "a SharedPagePool has no node, since its threads are on any: use a PagePool for each "
          + "thread, or a provider on that node"
      )
    }
    guard !configuration.tunesRefill else {
      throw .invalidConfiguration(
        "a SharedPagePool does not tune its refills: set refillCount, or use a PagePool for "
          + "each thread"
      )
    }
  }

  private func initialize(_ state: PagePool.State.Reference, capacity: Int, owner: UInt64) {
    unsafe state.initialize(
      to: PagePool.State(
        base: .allocate(capacity: max(1, capacity)), capacity: capacity, ringCapacity: 1,
        listCapacity: 0, owner: owner, slabs: SlabTable(slabs),
        core: Unmanaged.passUnretained(self), fragmentedByteCount: 0, key: key))
    // What other threads return joins their own parts.
    unsafe state.pointee.queue.ring.close()
    unsafe state.pointee.tellOut()
    unsafe state.pointee.parkedTop.publish(state.pointee.base)
  }

  // MARK: Parts

  /// The calling thread's part, made at its first use. Nil in a closed pool, and on a thread that
  /// runs its last destructors.
  func partHere() -> PagePool.State.Reference? {
    if cthreads_has(key) { return unsafe PagePool.State.here(key) }
    let number = cthreads_enter()
    guard number != Self.endingThread, !isClosing.load(ordering: .relaxed) else { return nil }
    let part = depot.withLock { depot in
      // Made before, if a pool with the same place in thread-local storage has taken it since.
      if let known = depot.parts[number] { return known }
      let part = depot.spareParts.popLast() ?? makePart()
      unsafe part.state.pointee.owner.store(number, ordering: .relaxed)
      depot.allParts.insert(part)
      depot.parts[number] = part
      return part
    }
    unsafe cthreads_keep(key, part.state)
    return unsafe part.state
  }

  private func makePart() -> Part {
    let state = unsafe Self.allocateState()
    unsafe initialize(
      state, capacity: configuration.cacheCapacity, owner: PagePool.State.Owner.nobody)
    return unsafe Part(state: state)
  }

  /// Whether every return has to come past the pool, so that nobody may have a cache.
  var seesEverything: Bool {
    ledger != nil || waiterCount.load(ordering: .acquiring) > 0
      || isAboveWatermark.load(ordering: .acquiring)
  }

  /// Whom to call back.
  enum Callback {
    /// Who seems to have something, and not longer than a few turns of the processor for who is in
    /// the middle of an operation: an allocation does not wait for a thread that is stopped there.
    case whoHas
    /// Everybody, however long it takes.
    case everybody
  }

  /// Empties other threads' caches, and the calling one's, into the depot, and keeps them out until
  /// they come the long way.
  /// - Returns: whether there is something in the depot now.
  @discardableResult
  func callBack(_ whom: Callback) -> Bool {
    var patience = whom == .everybody ? Int.max : 64
    while true {
      let (isDone, hasSome) = depot.withLock { depot in
        let isDone = Self.callBack(whom, &depot)
        openMagazine(&depot)
        return (isDone, !depot.iovs.isEmpty)
      }
      if isDone || patience == 0 || (hasSome && whom == .whoHas) { return hasSome }
      patience -= 1
      cthreads_yield()
    }
  }

  /// One look at all of them. True if nobody has anything left.
  private static func callBack(_ whom: Callback, _ depot: inout Depot) -> Bool {
    var isAnybodyTold = false
    for part in depot.parts.values {
      guard unsafe !part.state.pointee.isKeptOut,
        unsafe whom == .everybody || !part.state.pointee.isIdle
      else { continue }
      unsafe part.state.pointee.tellOut()
      isAnybodyTold = true
    }
    // For those that were told before and had not come out, the barrier of then.
    if isAnybodyTold { cthreads_barrier() }
    var isDone = true
    for part in depot.parts.values {
      guard unsafe part.state.pointee.isKeptOut, unsafe !part.state.pointee.isIdle else { continue }
      if unsafe part.state.pointee.isInside || !part.state.pointee.unloadAll(to: &depot.iovs) {
        isDone = false
      }
    }
    return isDone
  }

  /// Takes one buffer out of the depot, if there is any.
  func takeSingle(_ depot: inout Depot) -> RecordReference? {
    openMagazine(&depot)
    return depot.iovs.popLast()
  }

  /// Sees to it that if there is a buffer in the depot there is a single one.
  private func openMagazine(_ depot: inout Depot) {
    guard depot.iovs.isEmpty, let magazine = depot.magazines.popLast() else { return }
    unsafe depot.iovs.append(
      contentsOf: UnsafeBufferPointer(start: magazine.slots, count: configuration.refillCount))
    depot.emptyMagazines.append(magazine)
  }

  /// Buffers in the depot.
  func count(_ depot: borrowing Depot) -> Int {
    depot.iovs.count + depot.magazines.count * configuration.refillCount
  }

  /// At the end of every thread that had a part in some pool: what is in it goes to the depot, and
  /// the part to the next new thread.
  private static let noticeThreadEnds: Void = cthreads_at_end { number in
    for case let core as SharedPoolCore in PagePoolRegistry.shared.cores {
      core.threadEnds(number)
    }
  }

  private func threadEnds(_ number: UInt64) {
    guard !isForked else { return }
    depot.withLock { depot in
      guard let part = depot.parts.removeValue(forKey: number) else { return }
      unsafe part.state.pointee.leaveForGood(&depot.iovs)
      depot.spareParts.append(part)
    }
  }

  // MARK: What the kinds of pools differ in

  override func putShared(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    unsafe putPastPart(iovs)
  }

  override func isState(_ holder: PagePool.State.Reference) -> Bool {
    unsafe holder == home || depot.withLock { unsafe $0.allParts.contains(Part(state: holder)) }
  }

  override func record(at index: UInt32) -> UnsafeMutablePointer<NetIOV>? {
    unsafe home.pointee.slabs.record(at: index)
  }

  override func watchReturns() { callBack(.everybody) }

  override func countRefusedToken() { counters.refusedTokens.add(1, ordering: .relaxed) }
  override func countHandedOver() { counters.handedOver.add(1, ordering: .relaxed) }

  override var inFlight: PagePool.InFlight { counting(currentInFlight) }
  override var statistics: PagePool.Statistics { counting(currentStatistics) }

  override func closeCaches() {
    depot.withLock { $0.isClosed = true }
    callBack(.everybody)
    var all = depot.withLock { depot in
      var all = exchange(&depot.reserve, with: [])
      while let iov = takeSingle(&depot) { all.append(iov) }
      return all
    }
    release(&all)
    unpin()
  }
}
