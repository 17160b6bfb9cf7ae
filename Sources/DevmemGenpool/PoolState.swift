// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Everything behind a `GenPool`, in memory of its own: a stored property of a class would cost a
/// dynamic exclusivity check on each access.
///
/// SAFETY: `segments` has `segmentCapacity` entries, null until used; bitmaps are freed and
/// segments given back in `deinit` only, which runs when no call on the pool can be in progress.
@usableFromInline @safe struct PoolState: ~Copyable {
  static let segmentCapacity = 4096

  // Read by every operation, hardly ever written.
  let granuleShift: Int
  let segments: UnsafeMutablePointer<Atomic<UnsafeMutableRawPointer?>>
  /// The chunk in which the last granule was found; `nothing` at first.
  @usableFromInline let favourite: Atomic<UnsafeMutablePointer<ChunkRecord>?>
  /// A record without a free granule, so that the fast path needs no test for "no chunk yet".
  let nothing: UnsafeMutablePointer<ChunkRecord>

  // The summary over slots, above the two levels that each segment has.
  let slotRoot = Atomic<UInt64>(0)
  let slotWords: InlineArray<64, Atomic<UInt64>> = InlineArray { _ in Atomic(0) }

  /// Low 16 bits: threads in the middle of a repair or of a claim over several words. The others:
  /// how many there have ever been. See `PoolRef.unsettled`.
  let unsettled = Atomic<UInt64>(0)

  // The address index.
  let heads: InlineArray<5, Atomic<UInt32>> = InlineArray { _ in Atomic(0) }
  /// Counts removals from the address index.
  let indexVersion = Atomic<UInt64>(0)

  /// Slots ever used.
  let slotCount = Atomic<Int>(0)
  let byteCount = Atomic<Int>(0)
  let chunkCount = Atomic<Int>(0)
  let registry = Mutex(Registry())

  init(granuleShift: Int) {
    self.granuleShift = granuleShift
    unsafe segments = .allocate(capacity: Self.segmentCapacity)
    for index in 0..<Self.segmentCapacity {
      unsafe (segments + index).initialize(to: Atomic(nil))
    }
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: ChunkSegment.slotByteCount, alignment: ChunkSegment.slotByteCount)
    unsafe nothing = ChunkSegment.initializeSlot(at: raw, leafCount: 1)
    unsafe favourite = Atomic(nothing)
  }

  deinit {
    for index in 0..<Self.segmentCapacity {
      guard let raw = unsafe segments[index].load(ordering: .acquiring) else { break }
      unsafe SegmentStore.give(ChunkSegment(at: raw))
    }
    unsafe segments.deallocate()
    unsafe nothing.deinitialize(count: 1)
    unsafe nothing.deallocate()
  }

  /// What only adding, removing and listing chunks needs; under the lock.
  struct Registry {
    /// Slots whose chunk was removed, by the logarithm of their leaf words, so that finding one
    /// that suits takes no search.
    var freeSlots: [[Int]] = Array(repeating: [], count: 26)
    var owners: [Int: any AnyObject & Sendable] = [:]
    var random: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// How many levels of the address index a new chunk joins: one in 16 joins the second, and so
    /// on.
    mutating func height() -> Int {
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      return 1 + min(4, (random | 1 << 63).trailingZeroBitCount / 4)
    }
  }
}

/// Where generations come from: one counter for all pools, so that no handle ever fits a second
/// chunk.
let generations = Atomic<UInt64>(1)

/// The `PoolState` of a pool, by reference, so that the data path touches no reference count.
///
/// SAFETY: `pointer` is what `GenPool.init` made; a `PoolRef` is used inside a call on the pool,
/// which keeps it alive.
@usableFromInline @safe struct PoolRef {
  @usableFromInline let pointer: UnsafeMutablePointer<PoolState>

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutablePointer<PoolState>) { unsafe self.pointer = pointer }

  @inline(__always) var granuleShift: Int { unsafe pointer.pointee.granuleShift }
  var granuleByteCount: Int { 1 &<< granuleShift }

  /// Never null; unwrapping it with a check costs two instructions on the fast path.
  @inlinable @inline(__always) var favourite: RecordRef {
    unsafe RecordRef(pointer.pointee.favourite.load(ordering: .acquiring).unsafelyUnwrapped)
  }

  /// Keeps the fast path away from a chunk that was removed.
  func forget(_ record: RecordRef) {
    _ = unsafe pointer.pointee.favourite.compareExchange(
      expected: record.pointer, desired: pointer.pointee.nothing,
      ordering: .sequentiallyConsistent)
  }

  /// Remembers where something was found; written only when it changes, to keep the line shared.
  @inline(__always)
  func remember(_ record: RecordRef) {
    if unsafe pointer.pointee.favourite.load(ordering: .relaxed) != record.pointer {
      unsafe pointer.pointee.favourite.store(record.pointer, ordering: .releasing)
    }
  }

  /// The segment of slots `index << 12` and following, which must be in use.
  func segment(_ index: Int) -> ChunkSegment {
    guard let raw = unsafe pointer.pointee.segments[index].load(ordering: .acquiring) else {
      preconditionFailure("DevmemGenpool: a link to a slot that was never used")
    }
    return unsafe ChunkSegment(at: raw)
  }

  /// Slots ever used; the newest chunk of a pool without removals has the highest.
  var slotCount: Int { unsafe pointer.pointee.slotCount.load(ordering: .acquiring) }

  func withRegistry<Result, Failure: Error>(
    _ body: (inout sending PoolState.Registry) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    try unsafe pointer.pointee.registry.withLock(body)
  }

  /// The record of a slot that is, or was, in use.
  func record(_ slot: Int) -> RecordRef { segment(slot >> 12).record(slot & 4095) }
}
