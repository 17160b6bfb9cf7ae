// SPDX-License-Identifier: Apache-2.0

public import CThreads
public import Synchronization

/// How the owner enters and leaves its block, and how another thread gets it out for good: the
/// protocol of docs/life-cycle.md.
///
/// The owner says with plain stores that it is inside, and looks with plain loads whether it is
/// still wanted there. Whoever wants it out writes first, then calls `cthreads_barrier`, then
/// looks: so one of the two sees the other, and only the rare one pays.
extension PagePool.State {
  // MARK: The owner, on fast paths

  /// Begins a return: from here until `top` is published the owner is inside. `limit` must be
  /// looked at after this.
  @inlinable
  @inline(__always)
  func beginReturn() -> Slot {
    let top = unsafe top.load()
    self.top.storeNull()
    cthreads_compiler_fence()
    return unsafe top
  }

  /// Begins an allocation: from here until `endAllocation` the owner is inside. `owner` must be
  /// looked at after this.
  @inlinable
  @inline(__always)
  func beginAllocation() {
    served.addAsOnlyWriter(1)
    cthreads_compiler_fence()
  }

  /// Ends an allocation that `count` buffers were taken in, 0 if it goes on the long way.
  @inlinable
  @inline(__always)
  func endAllocation(_ count: Int) {
    served.store(
      served.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: 2 &* count &- 1),
      ordering: .releasing)
  }

  // MARK: The owner, in longer sections

  /// Goes on the long way in an allocation that has begun, on the thread that `owner` named after
  /// that.
  @inline(__always)
  static func enterFromAllocation(_ state: Reference) {
    unsafe state.pointee.nest()
    unsafe state.pointee.endAllocation(0)
  }

  /// Goes on the long way in a return that has begun. False if the owner is being kept out: then it
  /// is out, and the buffer has to go the way of other threads'.
  @inline(__always)
  static func enterFromReturn(_ state: Reference, _ top: Slot) -> Bool {
    let isWanted = unsafe !state.pointee.limit.isNull
    if isWanted { unsafe state.pointee.nest() }
    unsafe state.pointee.top.publish(top)
    return isWanted
  }

  /// Begins a longer section from nowhere. False, and nothing done, if the calling thread is not
  /// the owner, or not any longer.
  static func enter(_ state: Reference) -> Bool {
    guard unsafe state.pointee.isMine else { return false }
    unsafe state.pointee.nest()
    cthreads_compiler_fence()
    if unsafe state.pointee.isMine { return true }
    unsafe leave(state)
    return false
  }

  @inline(__always)
  private mutating func nest() {
    depth += 1
    if depth == 1 { section.store(Section.busy, ordering: .relaxed) }
  }

  /// Ends a longer section. Unless it is one inside another, nothing of the pool may be touched
  /// after it: the exchange lets whoever closes the pool free it, or leaves that duty here.
  @inline(__always)
  static func leave(_ state: Reference) {
    unsafe state.pointee.depth -= 1
    guard unsafe state.pointee.depth == 0 else { return }
    let left = unsafe state.pointee.section.exchange(0, ordering: .acquiringAndReleasing)
    guard left & Section.closing != 0 else { return }
    unsafe drainAfter(state)
  }

  /// The pool was closed while the owner was inside.
  @inline(never)
  private static func drainAfter(_ state: Reference) {
    unsafe state.pointee.park()
    unsafe state.pointee.core._withUnsafeGuaranteedRef { $0.drain() }
  }

  // MARK: Another thread

  /// Keeps the owner out from now on: what it begins after this goes the long way, where it finds
  /// out. What it has begun goes on: see ``isOut``. The caller has written `owner` before.
  func keepOut() {
    limit.publishNull()
    cthreads_barrier()
    // What is under way on a fast path takes a few instructions, however long its thread is
    // stopped.
    while served.load(ordering: .acquiring) & 1 == 1 || top.isNull { cthreads_yield() }
  }

  /// Notes where the cache ends, once the owner is out of everything. Not before: in a longer
  /// section it still moves. A return of the owner's that was begun before may yet put the same
  /// word there again.
  func park() {
    while true {
      if let top = unsafe top.acquire() { return unsafe parkedTop.publish(top) }
      cthreads_yield()
    }
  }

  /// Leaves the duty to end the pool to the owner if it is in a longer section. The owner has been
  /// kept out, or is the calling thread.
  /// - Returns: false if it is in none: then the duty is the caller's.
  func leaveDutyToOwner() -> Bool {
    section.bitwiseOr(Section.closing, ordering: .acquiringAndReleasing).oldValue
      & Section.busy != 0
  }

  /// What `section` says.
  enum Section {
    /// The owner is inside.
    static var busy: UInt8 { 1 }
    /// The pool is to be ended by the owner when it leaves.
    static var closing: UInt8 { 2 }
  }
}
