// SPDX-License-Identifier: Apache-2.0

public import CThreads
import Synchronization

/// A state as one thread's part of a ``SharedPagePool``: its cache, found by the thread through a
/// word of its own (`cthreads_value`).
///
/// Only that thread enters it, by the marks of `State+Entry.swift`. `limit` and `floor` are what it
/// looks at after them: both say "go the long way" while it is kept out. The long way leads under
/// the pool's lock, and all that is not a mark happens there: keeping a thread out, emptying its
/// cache, letting it in again, which only the thread itself does. Hence `section` has no part in
/// this, and nobody waits for who is on the long way.
extension PagePool.State {
  /// The calling thread's part of the pool with that key; only to be called where there is one.
  @inlinable
  @inline(__always)
  static func here(_ key: UInt64) -> Reference {
    unsafe cthreads_value(key).unsafelyUnwrapped.assumingMemoryBound(to: PagePool.State.self)
  }

  // MARK: Any thread

  /// A return of several that nobody else holds; a single one's is ``put(_:)``.
  static func putHere(_ slots: Slot, _ count: Int, _ origin: Reference) {
    let key = unsafe origin.pointee.key
    if cthreads_has(key) {
      let state = unsafe here(key)
      let top = unsafe state.pointee.beginReturn()
      if unsafe state.pointee.limit.isAtLeast(top + count) {
        unsafe top.update(from: slots, count: count)
        return unsafe state.pointee.top.publish(top + count)
      }
      unsafe state.pointee.top.publish(top)
    }
    unsafe putHereSlow(UnsafeMutableBufferPointer(start: slots, count: count), origin)
  }

  /// The same for a batch; takes over its storage.
  static func putHere(_ storage: BatchStorage, _ count: Int, _ origin: Reference) {
    let key = unsafe origin.pointee.key
    if cthreads_has(key) {
      let state = unsafe here(key)
      var top = unsafe state.pointee.beginReturn()
      if unsafe state.pointee.limit.isAtLeast(top + count) {
        unsafe state.pointee.put(storage, count, &top)
        return unsafe state.pointee.top.publish(top)
      }
      unsafe state.pointee.top.publish(top)
    }
    unsafe putHereSlow(
      UnsafeMutableBufferPointer(start: storage.slots, count: count), origin)
    storage.deallocate()
  }

  /// The long way for one buffer. The thread is in no mark.
  @inline(never)
  static func putHereSlow(_ record: UnsafeMutablePointer<NetIOV>, _ origin: Reference) {
    unsafe withUnsafeTemporaryAllocation(of: RecordReference.self, capacity: 1) { slots in
      unsafe slots.initializeElement(at: 0, to: RecordReference(record: record))
      unsafe putHereSlow(slots, origin)
    }
  }

  private static func putHereSlow(
    _ iovs: UnsafeMutableBufferPointer<RecordReference>, _ origin: Reference
  ) {
    unsafe origin.pointee.core._withUnsafeGuaranteedRef { unsafe $0.putShared(iovs) }
  }

  // MARK: The thread itself

  /// Fills the empty cache from a full magazine, and takes the last buffer.
  /// - Returns: nil, and nothing taken, if the thread is kept out, or the cache is not empty.
  static func load(
    _ magazine: BatchStorage, _ count: Int, _ state: Reference
  ) -> RecordReference? {
    unsafe state.pointee.beginAllocation()
    defer { unsafe state.pointee.endAllocation(0) }
    let base = unsafe state.pointee.base
    guard unsafe !state.pointee.limit.isNull, unsafe state.pointee.top.load() == base else {
      return nil
    }
    unsafe base.update(from: magazine.slots, count: count - 1)
    unsafe state.pointee.counters.loaded.addAsOnlyWriter(UInt64(count - 1))
    unsafe state.pointee.top.store(base + count - 1)
    return unsafe magazine.slots[count - 1]
  }

  /// Moves the topmost `count` buffers of the full cache to an empty magazine, and puts one onto
  /// what is left.
  /// - Returns: false, and nothing done, if the thread is kept out, or the cache is not full.
  static func unload(
    _ count: Int, to magazine: BatchStorage, _ iov: RecordReference, _ state: Reference
  ) -> Bool {
    let top = unsafe state.pointee.beginReturn()
    guard unsafe state.pointee.limit.equals(top) else {
      unsafe state.pointee.top.publish(top)
      return false
    }
    let rest = unsafe top - count
    unsafe magazine.slots.update(from: rest, count: count)
    unsafe rest.initialize(to: iov)
    unsafe state.pointee.counters.unloaded.addAsOnlyWriter(UInt64(count))
    unsafe state.pointee.top.publish(rest + 1)
    return true
  }

  // MARK: Under the pool's lock

  /// Whether the thread has been told to keep out.
  var isKeptOut: Bool { limit.isNull }

  /// Whether there is nothing to be had from this part: it was emptied, or looks empty from
  /// outside.
  var isIdle: Bool {
    if isKeptOut { return unsafe parkedTop.acquire() != nil }
    return unsafe top.acquire() == base && wholeBatchCount.load(ordering: .relaxed) == 0
  }

  /// Tells the thread to keep out. What it has begun goes on: after a `cthreads_barrier`, see
  /// ``isInside``.
  func tellOut() {
    parkedTop.publishNull()
    floor.publishEnd()
    limit.publishNull()
  }

  /// Whether the thread is between two marks: a few instructions, however long it is stopped there.
  var isInside: Bool { served.load(ordering: .acquiring) & 1 == 1 || top.isNull }

  /// Lets the thread in again, on that thread.
  func letIn() {
    guard isKeptOut else { return }
    if let emptied = unsafe parkedTop.acquire() { unsafe top.publish(emptied) }
    unsafe floor.publish(base)
    unsafe limit.publish(base + capacity)
  }

  /// Takes all that is in the cache. The thread was told to keep out and is out, or is the calling
  /// one.
  /// - Returns: false, and nothing done, if the thread has begun something in which it will find
  ///   that it is kept out: it puts `top` back as it was.
  @discardableResult
  mutating func unloadAll(to iovs: inout [RecordReference]) -> Bool {
    var count = 0
    if unsafe !isKeptOut || parkedTop.acquire() == nil {
      guard let top = unsafe top.acquire() else { return false }
      count = unsafe top - base
    }
    unsafe iovs.append(contentsOf: UnsafeBufferPointer(start: base, count: count))
    var total = count
    if let slots = unsafe wholeBatch {
      let whole = wholeBatchCount.load(ordering: .relaxed)
      unsafe iovs.append(contentsOf: UnsafeBufferPointer(start: slots, count: whole))
      unsafe wholeBatch = nil
      wholeBatchCount.store(0, ordering: .relaxed)
      unsafe spare(BatchStorage(slots: slots))
      total += whole
    }
    counters.unloaded.addAsOnlyWriter(UInt64(total))
    if isKeptOut { unsafe parkedTop.publish(base) } else { unsafe top.publish(base) }
    return true
  }

  /// Empties the part for the next thread that gets it. On the thread that ends.
  mutating func leaveForGood(_ iovs: inout [RecordReference]) {
    if !isIdle { unloadAll(to: &iovs) }
    tellOut()
    unsafe parkedTop.publish(base)
    owner.store(Owner.nobody, ordering: .relaxed)
  }

  /// Moves `count` buffers from the end of `iovs` onto the stack, which has room for them.
  mutating func load(_ count: Int, from iovs: inout [RecordReference]) {
    let top = unsafe top.load()
    unsafe iovs.withUnsafeBufferPointer { iovs in
      unsafe top.update(
        from: iovs.baseAddress.unsafelyUnwrapped + (iovs.count - count), count: count)
    }
    iovs.removeLast(count)
    unsafe self.top.publish(top + count)
    counters.loaded.addAsOnlyWriter(UInt64(count))
  }

  /// Takes up to `count` buffers off the stack, and then of the batch that is kept whole.
  mutating func take(_ count: Int, to slots: Slot) -> Int {
    var taken = 0
    repeat {
      let part = min(count - taken, stackedCount)
      let top = unsafe top.load() - part
      unsafe (slots + taken).update(from: top, count: part)
      unsafe self.top.publish(top)
      taken += part
    } while unsafe taken < count && wholeBatch != nil && stackWholeBatch()
    return taken
  }

  /// Moves the topmost `count` buffers of the stack to the end of `iovs`.
  mutating func unload(_ count: Int, to iovs: inout [RecordReference]) {
    let rest = unsafe top.load() - count
    unsafe iovs.append(contentsOf: UnsafeBufferPointer(start: rest, count: count))
    unsafe top.publish(rest)
    counters.unloaded.addAsOnlyWriter(UInt64(count))
  }
}
