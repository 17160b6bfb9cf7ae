// SPDX-License-Identifier: Apache-2.0

import CThreads
import Synchronization

/// Where other threads leave buffers for the owner: a ring of handles with many producers and one
/// consumer (the role of the kernel's `ptr_ring`, without its lock).
///
/// A producer takes positions with one compare-and-swap on the tail, then fills them. It writes
/// into the ring only, never into a record: a buffer that travels between two threads moves an
/// eighth of a cache line each way, where a list through the records would move one and a half.
///
/// A slot holds a record's address and, in the lowest bit, the parity of the lap it was written in.
/// So the consumer sees what is filled without clearing slots: one that still has the last lap's
/// parity is taken, but not filled yet.
///
/// A whole batch takes one slot: the address of its ``BatchStorage``, marked by the second bit,
/// with the number of its buffers in the top 16 bits, where no address of a process has any. Its
/// buffers stay where they are.
///
/// Each end remembers what it last saw of the other and looks again only when that is not enough.
@safe
struct ReturnRing: ~Copyable {
  private typealias Slot = Atomic<UInt>

  /// What producers write.
  private struct Producers: ~Copyable {
    /// The first position that is not known to be free: a ring's length beyond what was last seen
    /// of `head`, and never ahead of the truth. 0 in a forked child, whose pushes are refused.
    /// First: its address is the entry's word.
    let limit: Atomic<UInt64>
    /// The next free position in bits 0...61; bit 62: returns want attention; bit 63: closed. With
    /// a flag it is above every limit, so that one comparison is all that a push has to ask.
    let tail = Atomic<UInt64>(0)
    /// Buffers that were pushed in batches, less one for each batch.
    let pushedBeyondSlots = Atomic<UInt64>(0)

    init(slotCount: UInt64) { limit = Atomic(slotCount) }
  }

  // SAFETY: allocated in init for the producers' words, 64 bytes behind their start the entry that
  // CThreads knows until deinit, and 128 behind it `mask` + 1 slots; all of it is freed in deinit.
  private let producers: UnsafeMutablePointer<Producers>
  private let mask: UInt64
  /// The lowest bit of a position that says which lap it is in.
  private let lapBit: UInt64
  private let gap1 = InlineArray<16, UInt64>(repeating: 0)
  /// Consumer: the first position that has not been taken.
  private let head = Atomic<UInt64>(0)
  /// What the consumer last saw of `tail`, without its flags.
  private let seenTail = Atomic<UInt64>(0)
  private let takenBeyondSlots = Atomic<UInt64>(0)
  private let gap2 = InlineArray<16, UInt64>(repeating: 0)

  deinit {
    unsafe cthreads_forget(forkEntry)
    unsafe slots.deinitialize(count: Int(mask) + 1)
    unsafe producers.deinitialize(count: 1)
    unsafe UnsafeMutableRawPointer(producers).deallocate()
  }

  /// A ring of at least `capacity` slots, rounded up to a power of two.
  init(capacity: Int) {
    let bits = capacity <= 1 ? 0 : Int.bitWidth - (capacity - 1).leadingZeroBitCount
    let count = 1 << bits
    lapBit = UInt64(count)
    mask = lapBit - 1
    // 128: a pair of cache lines, which processors fetch together.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: Self.slotsOffset + count * MemoryLayout<Slot>.stride, alignment: 128)
    unsafe producers = memory.bindMemory(to: Producers.self, capacity: 1)
    unsafe producers.initialize(to: Producers(slotCount: lapBit))
    unsafe (memory + Self.forkEntryOffset).bindMemory(to: cthreads_forked_word.self, capacity: 1)
    unsafe (memory + Self.slotsOffset).bindMemory(to: Slot.self, capacity: count)
    for position in 0..<count { unsafe (slots + position).initialize(to: Slot(1)) }
    unsafe cthreads_clear_when_forked(forkEntry, memory.assumingMemoryBound(to: UInt64.self))
  }

  private static var forkEntryOffset: Int { 64 }
  private static var slotsOffset: Int { 128 }
  private static var slotsInLine: Int { 8 }

  private var forkEntry: UnsafeMutablePointer<cthreads_forked_word> {
    unsafe (UnsafeMutableRawPointer(producers) + Self.forkEntryOffset)
      .assumingMemoryBound(to: cthreads_forked_word.self)
  }

  @inline(__always)
  private var slots: UnsafeMutablePointer<Slot> {
    unsafe (UnsafeMutableRawPointer(producers) + Self.slotsOffset)
      .assumingMemoryBound(to: Slot.self)
  }

  /// What became of a push.
  enum Outcome {
    case pushed
    /// There is no room: the buffers were not taken.
    case full
    /// Closed, or attention is wanted: the buffers were not taken.
    case refused
  }

  static var closedBit: UInt64 { 1 << 63 }
  static var attentionBit: UInt64 { 1 << 62 }
  private static var positionMask: UInt64 { attentionBit - 1 }

  /// Adds a buffer if there is room that is known of, and no flag is up. Any thread. On
  /// the path of `return_queue` (Benchmarks/Thresholds/instructions.txt).
  @inline(__always)
  func pushAtOnce(_ record: UnsafeMutablePointer<NetIOV>) -> Bool {
    var seen = unsafe producers.pointee.tail.load(ordering: .relaxed)
    while unsafe seen < producers.pointee.limit.load(ordering: .acquiring) {
      let (exchanged, original) = unsafe producers.pointee.tail.weakCompareExchange(
        expected: seen, desired: seen &+ 1, successOrdering: .relaxed, failureOrdering: .relaxed)
      if exchanged {
        fill(seen, UInt(bitPattern: record))
        return true
      }
      seen = original
    }
    return false
  }

  /// Adds buffers, all or none. Any thread.
  /// - Parameter flag: refuse when this flag, or a higher one, is up.
  func push(
    _ iovs: UnsafePointer<RecordReference>, count: Int, below flag: UInt64
  ) -> Outcome {
    var position: UInt64 = 0
    let outcome = reserve(count, below: flag, &position)
    guard outcome == .pushed else { return outcome }
    // To the end of the lap, then from the start of the next: the parity is the same within each.
    // What is not filled yet keeps the pool.
    let inLap = min(count, Int(truncatingIfNeeded: lapBit &- (position & mask)))
    unsafe fillInLap(position, iovs, inLap)
    if inLap < count {
      unsafe fillInLap(
        position &+ UInt64(truncatingIfNeeded: inLap), iovs + inLap, count &- inLap)
    }
    return .pushed
  }

  /// Fills slots of one lap.
  @inline(__always)
  private func fillInLap(
    _ position: UInt64, _ iovs: UnsafePointer<RecordReference>, _ count: Int
  ) {
    let first = unsafe slot(position)
    let parity = parity(position)
    // The lines of the next push of as many, which the consumer's processor had last: they come
    // while buffers are collected for it. Before the last fill, though it is no access.
    var line = 0
    while line < count {
      unsafe cthreads_expect_to_write(
        slot(position &+ UInt64(truncatingIfNeeded: count &+ line)))
      line &+= Self.slotsInLine
    }
    var offset = 0
    while offset < count {
      unsafe first[offset].store(
        UInt(bitPattern: iovs[offset].record) | parity, ordering: .releasing)
      offset &+= 1
    }
  }

  /// Adds all buffers of a batch as one entry, storage and all. Any thread.
  /// - Parameter count: at least 1.
  func push(_ storage: BatchStorage, count: Int, below flag: UInt64) -> Outcome {
    let address = unsafe UInt(bitPattern: storage.slots)
    guard count >> 16 == 0, address >> 48 == 0 else { return .refused }
    var position: UInt64 = 0
    let outcome = reserve(1, below: flag, &position)
    guard outcome == .pushed else { return outcome }
    unsafe producers.pointee.pushedBeyondSlots.add(UInt64(count - 1), ordering: .relaxed)
    // With the last fill the buffers are the consumer's, and the pool may end: nothing of it may be
    // touched any more.
    fill(position, address | Self.batchMark | UInt(count) << 48)
    return .pushed
  }

  /// Takes positions for `count` entries.
  @inline(__always)
  private func reserve(_ count: Int, below flag: UInt64, _ position: inout UInt64) -> Outcome {
    let count = UInt64(truncatingIfNeeded: count)
    var seen = unsafe producers.pointee.tail.load(ordering: .relaxed)
    while true {
      let limit = unsafe producers.pointee.limit.load(ordering: .acquiring)
      // A forked child's limit stays 0.
      guard seen < flag, limit != 0 else { return .refused }
      position = seen & Self.positionMask
      guard position &+ count <= limit || findRoom(position &+ count) else { return .full }
      let (exchanged, original) = unsafe producers.pointee.tail.weakCompareExchange(
        expected: seen, desired: seen &+ count, successOrdering: .relaxed,
        failureOrdering: .relaxed)
      if exchanged { return .pushed }
      seen = original
    }
  }

  /// Whether there is room up to `end`, after another look at the consumer.
  ///
  /// Acquire and release: what the consumer has taken out of these slots it has read by now,
  /// whichever producer saw it first.
  @inline(never)
  private func findRoom(_ end: UInt64) -> Bool {
    let limit = head.load(ordering: .acquiring) &+ lapBit
    unsafe producers.pointee.limit.store(limit, ordering: .releasing)
    return end <= limit
  }

  @inline(__always)
  private func fill(_ position: UInt64, _ bits: UInt) {
    unsafe slots[Int(truncatingIfNeeded: position & mask)].store(
      bits | parity(position), ordering: .releasing)
  }

  private static var batchMark: UInt { 2 }

  /// 0 in the first lap: the slots' first content is odd, so that it is nobody's.
  @inline(__always)
  private func parity(_ position: UInt64) -> UInt { position & lapBit == 0 ? 0 : 1 }

  /// Takes up to `count` buffers that came one by one, oldest first. Owner thread only. On the
  /// path of `return_queue`, too.
  /// - Returns: how many were written to `destination`. Fewer than there are, or none, when a
  ///   producer has not filled its slot yet, or the next entry is a batch.
  func take(into destination: UnsafeMutablePointer<RecordReference>, upTo count: Int) -> Int {
    let start = head.load(ordering: .relaxed)
    let known = lookAhead(count, from: start)
    let end = min(known, start &+ UInt64(truncatingIfNeeded: count))
    guard start < end else { return 0 }
    // The lines of the next such call: by then they are here.
    var line = end
    while line < min(known, end &+ UInt64(truncatingIfNeeded: count)) {
      unsafe cthreads_expect(slot(line))
      line &+= UInt64(Self.slotsInLine)
    }
    // To the end of the lap, then from the start of the next: the parity is the same within each.
    let lapEnd = min(end, (start | mask) &+ 1)
    var taken = unsafe takeInLap(into: destination, start..<lapEnd)
    if start &+ UInt64(taken) == lapEnd, lapEnd < end {
      unsafe taken += takeInLap(into: destination + taken, lapEnd..<end)
    }
    head.store(start &+ UInt64(taken), ordering: .releasing)
    // A batch at the head is the caller's to take: no need to look behind it.
    if taken == 0, batch(at: start, of: 1...Int(UInt16.max)) == nil {
      return unsafe takeBehind(into: destination, upTo: count, start..<lookAtTail())
    }
    return taken
  }

  /// Nothing can be taken at the head: skips what was taken out of turn, and takes what stands
  /// behind a slot that its producer has not filled yet.
  @inline(never)
  private func takeBehind(
    into destination: UnsafeMutablePointer<RecordReference>, upTo count: Int,
    _ positions: Range<UInt64>
  ) -> Int {
    let positions = skipTaken(positions)
    var taken = 0
    for position in positions where taken < count {
      if unsafe move(slot(position), to: destination + taken, parity(position)) {
        take(outOfTurn: position)
        taken += 1
      }
    }
    takenBeyondSlots.addAsOnlyWriter(UInt64(taken))
    _ = skipTaken(positions)
    return taken
  }

  @inline(__always)
  private func slot(_ position: UInt64) -> UnsafeMutablePointer<Slot> {
    unsafe slots + Int(truncatingIfNeeded: position & mask)
  }

  /// Leaves a batch of no buffers in a slot that was taken before its turn.
  private func take(outOfTurn position: UInt64) {
    unsafe slot(position).pointee.store(Self.batchMark | parity(position), ordering: .relaxed)
  }

  /// Moves the head over slots that were taken out of turn. Returns what is left of `positions`.
  private func skipTaken(_ positions: Range<UInt64>) -> Range<UInt64> {
    var position = positions.lowerBound
    while position < positions.upperBound,
      unsafe slot(position).pointee.load(ordering: .relaxed) ^ parity(position) == Self.batchMark
    {
      position &+= 1
    }
    let count = position &- positions.lowerBound
    guard count > 0 else { return positions }
    takenBeyondSlots.addAsOnlyWriter(0 &- count)
    head.store(position, ordering: .releasing)
    return position..<positions.upperBound
  }

  @inline(__always)
  private func takeInLap(
    into destination: UnsafeMutablePointer<RecordReference>, _ positions: Range<UInt64>
  ) -> Int {
    let parity = parity(positions.lowerBound)
    let first = unsafe slots + Int(truncatingIfNeeded: positions.lowerBound & mask)
    let count = Int(truncatingIfNeeded: positions.upperBound &- positions.lowerBound)
    // All lines at once: another processor wrote them.
    var line = Self.slotsInLine
    while line < count {
      unsafe cthreads_expect(first + line)
      line &+= Self.slotsInLine
    }
    var offset = 0
    // Four at a time, looked at together: one by one it would be half as many instructions again.
    while offset &+ 3 < count {
      let next = unsafe first + offset
      let a = unsafe next[0].load(ordering: .acquiring) ^ parity
      let b = unsafe next[1].load(ordering: .acquiring) ^ parity
      let c = unsafe next[2].load(ordering: .acquiring) ^ parity
      let d = unsafe next[3].load(ordering: .acquiring) ^ parity
      guard (a | b | c | d) & (Self.batchMark | 1) == 0 else { break }
      let place = unsafe destination + offset
      unsafe place.initialize(to: Self.reference(a))
      unsafe (place + 1).initialize(to: Self.reference(b))
      unsafe (place + 2).initialize(to: Self.reference(c))
      unsafe (place + 3).initialize(to: Self.reference(d))
      offset &+= 4
    }
    while offset < count, unsafe move(first + offset, to: destination + offset, parity) {
      offset &+= 1
    }
    return offset
  }

  @inline(__always)
  private static func reference(_ bits: UInt) -> RecordReference {
    unsafe RecordReference(record: UnsafeMutablePointer(bitPattern: bits).unsafelyUnwrapped)
  }

  /// Takes one slot's buffer; false if it has not been filled in this lap, or holds a batch.
  @inline(__always)
  private func move(
    _ slot: UnsafeMutablePointer<Slot>, to place: UnsafeMutablePointer<RecordReference>,
    _ parity: UInt
  ) -> Bool {
    let bits = unsafe slot.pointee.load(ordering: .acquiring) ^ parity
    guard bits & (Self.batchMark | 1) == 0 else { return false }
    unsafe place.initialize(to: Self.reference(bits))
    return true
  }

  /// Takes the next entry if it is a batch, or one behind a slot that its producer has not filled
  /// yet. Owner thread only.
  /// - Parameter counts: of how many buffers.
  func takeBatch(of counts: ClosedRange<Int>) -> (storage: BatchStorage, count: Int)? {
    let start = head.load(ordering: .relaxed)
    guard start < lookAhead(1, from: start) else { return nil }
    if let batch = batch(at: start, of: counts) {
      takenBeyondSlots.addAsOnlyWriter(UInt64(batch.count - 1))
      head.store(start &+ 1, ordering: .releasing)
      return batch
    }
    let isFilled = unsafe (slot(start).pointee.load(ordering: .acquiring) ^ parity(start)) & 1 == 0
    return isFilled ? nil : takeBatchBehind(start, of: counts)
  }

  @inline(__always)
  private func batch(
    at position: UInt64, of counts: ClosedRange<Int>
  ) -> (storage: BatchStorage, count: Int)? {
    let bits = unsafe slot(position).pointee.load(ordering: .acquiring) ^ parity(position)
    let count = Int(bits &>> 48)
    guard bits & (Self.batchMark | 1) == Self.batchMark, counts.contains(count) else { return nil }
    let address = unsafe AtomicSlot.Slot(bitPattern: bits & (1 << 48 - 1) & ~Self.batchMark)
    return unsafe (BatchStorage(slots: address.unsafelyUnwrapped), count)
  }

  @inline(never)
  private func takeBatchBehind(
    _ start: UInt64, of counts: ClosedRange<Int>
  ) -> (storage: BatchStorage, count: Int)? {
    for position in start..<lookAtTail() {
      guard let batch = batch(at: position, of: counts) else { continue }
      take(outOfTurn: position)
      takenBeyondSlots.addAsOnlyWriter(UInt64(batch.count))
      return batch
    }
    return nil
  }

  /// Where the entries end, looked up again if fewer than `count` were known of. Owner thread only.
  @inline(__always)
  private func lookAhead(_ count: Int, from start: UInt64) -> UInt64 {
    let seen = seenTail.load(ordering: .relaxed)
    if seen &- start >= UInt64(truncatingIfNeeded: count) { return seen }
    return lookAtTail()
  }

  /// Where the entries end. What is taken must not be beyond what was seen, hence it is kept.
  @inline(__always)
  private func lookAtTail() -> UInt64 {
    let end = unsafe producers.pointee.tail.load(ordering: .relaxed) & Self.positionMask
    seenTail.store(end, ordering: .relaxed)
    return end
  }

  /// Makes every push that comes after this call be refused, or no longer. Owner thread only.
  func setWantsAttention(_ isWanted: Bool) {
    if isWanted {
      unsafe producers.pointee.tail.bitwiseOr(
        Self.attentionBit, ordering: .acquiringAndReleasing)
    } else {
      unsafe producers.pointee.tail.bitwiseAnd(
        ~Self.attentionBit, ordering: .acquiringAndReleasing)
    }
  }

  /// Lets nothing more in.
  func close() {
    unsafe producers.pointee.tail.bitwiseOr(Self.closedBit, ordering: .acquiringAndReleasing)
  }

  /// Whether no slot is taken by anything, filled yet or not. Owner thread only.
  var isEmpty: Bool {
    unsafe producers.pointee.tail.load(ordering: .relaxed) & Self.positionMask
      == head.load(ordering: .relaxed)
  }

  /// Buffers in the ring now. Any thread; exact on the owner's.
  var count: Int {
    let taken = head.load(ordering: .relaxed) &+ takenBeyondSlots.load(ordering: .relaxed)
    return max(0, Int(pushedCount) - Int(taken))
  }

  /// Buffers that have ever been pushed. Any thread.
  var pushedCount: UInt64 {
    unsafe producers.pointee.tail.load(ordering: .relaxed) & Self.positionMask
      &+ producers.pointee.pushedBeyondSlots.load(ordering: .relaxed)
  }
}
