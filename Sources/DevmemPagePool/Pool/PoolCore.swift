// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// What every kind of pool has besides the hot words: provider, slabs, configuration, who waits,
/// and how it ends.
///
/// ``PagePoolCore``, with one owner, and ``SharedPoolCore``, with a part for each thread, derive
/// from it. What keeps it alive is `life` (docs/life-cycle.md): whoever takes that to 0 ends the
/// pool, and nobody else touches anything after his own subtraction.
@safe
class PoolCore: @unchecked Sendable {
  // SAFETY: what is not immutable here is atomic or behind a Mutex.
  let provider: any MemoryProvider
  let slabs: [NetIOVSlab]
  let identity: PagePool.Identity
  let iovByteCount: Int
  let configuration: PagePool.Configuration
  /// Who holds what since when; nil unless the pool was made while `PagePool.isDebugging`.
  let ledger: Ledger?
  /// The process that the pool was made in, as a number of forks.
  let forkCount = cthreads_fork_count()

  /// What keeps the pool: bits 0...39 the buffers out of the provider, bits 40...63 one for being
  /// open and one for each call that has to outlast what it gives away.
  let life = Atomic<UInt64>(PoolCore.onePin)
  static var onePin: UInt64 { 1 << 40 }

  let isClosing = Atomic<Bool>(false)
  let ending = Mutex(Ending())
  let waiters = Mutex(WaiterList())
  let waiterCount = Atomic<Int>(0)
  /// Whether more is held than the high watermark, until no more is than the low one.
  let isAboveWatermark = Atomic<Bool>(false)
  let nodeFilter: Mutex<Int?>
  /// Whether `nodeFilter` has a value: spares the refill the lock.
  let hasNodeFilter: Atomic<Bool>
  let fenceCounts = FenceCounts()

  /// A provider that has said yes: what a pool is made of, nothing of which can fail any more.
  struct Attachment {
    let provider: any MemoryProvider
    let slabs: [NetIOVSlab]
    let identity: PagePool.Identity
    let iovByteCount: Int
    let configuration: PagePool.Configuration

    init(_ provider: any MemoryProvider, _ configuration: PagePool.Configuration) throws {
      try configuration.validate()
      identity = PagePoolRegistry.shared.nextIdentity(name: configuration.name)
      slabs = try provider.attach(to: identity, MemoryProviderAccess())
      let sizes = Set(slabs.map(\.iovByteCount))
      guard sizes.count == 1, let iovByteCount = sizes.first else {
        provider.detach(from: identity, MemoryProviderAccess())
        throw PagePoolError.mixedIOVByteCounts(sizes.sorted())
      }
      self.iovByteCount = iovByteCount
      self.provider = provider
      self.configuration = configuration
    }
  }

  init(_ attachment: Attachment) {
    provider = attachment.provider
    slabs = attachment.slabs
    identity = attachment.identity
    iovByteCount = attachment.iovByteCount
    configuration = attachment.configuration
    ledger = PagePool.isDebugging ? Ledger() : nil
    nodeFilter = Mutex(configuration.node)
    hasNodeFilter = Atomic(configuration.node != nil)
  }

  /// The number that all threads have which are in their last destructors.
  static var endingThread: UInt64 { .max }

  /// Whether this is a forked child of the process that made the pool: its memory is the parent's
  /// as well, and the parent goes on handing it out.
  var isForked: Bool { forkCount != cthreads_fork_count() }

  static func allocateState() -> UnsafeMutablePointer<PagePool.State> {
    // 128: a pair of cache lines, which processors fetch together.
    unsafe UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<PagePool.State>.size, alignment: 128
    ).bindMemory(to: PagePool.State.self, capacity: 1)
  }

  static func free(_ state: UnsafeMutablePointer<PagePool.State>?) {
    guard let state = unsafe state else { return }
    unsafe BatchStorage.deallocateList(state.pointee.spareStorage)
    if let whole = unsafe state.pointee.wholeBatch {
      unsafe BatchStorage(slots: whole).deallocate()
    }
    unsafe state.pointee.magazine?.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(state).deallocate()
  }

  // MARK: What the kinds differ in

  /// Allocation that the cache did not serve; the calling thread is inside.
  func allocateSlow(
    _ priority: PagePool.Priority, _ site: PagePool.CallSite, _ state: PagePool.State.Reference
  ) -> RecordReference? { fatalError("a pool of no kind") }

  /// A batch of `count` buffers that came back as it is, or nil; the calling thread is inside.
  func takeQueuedBatch(of count: Int) -> BatchStorage? { nil }

  /// A return on the owner thread that finds the cache full, or declared full; the thread is
  /// inside.
  func putOnOwner(_ iov: RecordReference, _ state: PagePool.State.Reference) {
    fatalError("a pool of no kind")
  }

  /// A return that the queue of `holder` refused. Any thread.
  func putAttended(_ iov: RecordReference, _ holder: PagePool.State.Reference) {
    fatalError("a pool of no kind")
  }

  /// Returns of buffers of a shared pool that the calling thread's part has no room for. Any
  /// thread.
  func putShared(_ iovs: UnsafeMutableBufferPointer<RecordReference>) {
    fatalError("a pool of no kind")
  }

  /// Makes every return come past the core, or no longer, as `ledger`, `waiterCount` and
  /// `isAboveWatermark` want it. Inside.
  func watchReturns() { fatalError("a pool of no kind") }

  /// Takes the right to allocate away from everybody and gives back what nobody holds, or leaves
  /// that to who is inside. Called once, with the pool's open pin held. Any thread.
  func closeCaches() { fatalError("a pool of no kind") }

  /// Gives back what nobody holds, and then the open pin. Nobody is inside any more.
  func drain() { fatalError("a pool of no kind") }

  /// Whether `holder` is a state of this pool through which its buffers are held.
  func isState(_ holder: PagePool.State.Reference) -> Bool { fatalError("a pool of no kind") }

  /// The record with that index, or nil if it is of none of the pool's slabs.
  func record(at index: UInt32) -> UnsafeMutablePointer<NetIOV>? { fatalError("a pool of no kind") }

  var inFlight: PagePool.InFlight { fatalError("a pool of no kind") }
  var statistics: PagePool.Statistics { fatalError("a pool of no kind") }

  /// Counts a token that was refused. Any thread.
  func countRefusedToken() {}
  /// Counts a buffer that goes from who returned it to a task that waited. Any thread.
  func countHandedOver() {}
}
