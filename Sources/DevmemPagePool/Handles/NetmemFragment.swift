// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A part of a buffer: several packets share one IOV (`page_pool_alloc_netmem` with a size below a
/// page).
///
/// Move-only like ``Netmem``, and like it may be moved to and die on any thread; the IOV goes back
/// to its pool with its last fragment.
@frozen
public struct NetmemFragment: ~Copyable, Sendable {
  /// The whole buffer, of which this holds one reference. Its other bytes are other fragments'.
  @usableFromInline let netmem: Netmem
  @usableFromInline let start: UInt32
  @usableFromInline let count: UInt32
  /// Whether there has been a second handle to these bytes.
  @usableFromInline var isShared = false

  @inlinable
  init(_ netmem: consuming Netmem, start: Int, count: Int) {
    self.netmem = netmem
    self.start = UInt32(truncatingIfNeeded: start)
    self.count = UInt32(truncatingIfNeeded: count)
  }

  /// Size of the fragment in bytes: at least what was asked for. The last fragment of an IOV has
  /// the rest of it as well.
  @inlinable public var byteCount: Int { Int(count) }
  /// Offset of the fragment in its IOV, in bytes; a multiple of a cache line.
  @inlinable public var offsetInIOV: Int { Int(start) }
  /// Offset of the fragment from the start of the dma-buf or mapping, in bytes.
  @inlinable public var offset: UInt64 { netmem.offset &+ UInt64(start) }
  /// Where a device finds the fragment.
  @inlinable public var deviceAddress: DeviceAddress {
    netmem.deviceAddress.advanced(by: Int(start))
  }

  /// Reads the fragment's bytes.
  /// - Throws: as ``Netmem/withBytes(_:)``.
  @inlinable
  public func withBytes<Result: ~Copyable>(
    _ body: (RawSpan) throws -> Result
  ) throws -> Result {
    let range = Int(start)..<Int(start) + Int(count)
    return try netmem.withBytes { try body($0.extracting(range)) }
  }

  /// Reads and writes the fragment's bytes.
  /// - Throws: as ``Netmem/withMutableBytes(_:)``; a fragment that was shared once can never be
  ///   written again, because its handles are counted together with those of its neighbours.
  @inlinable
  public mutating func withMutableBytes<Result: ~Copyable>(
    _ body: (inout MutableRawSpan) throws -> Result
  ) throws -> Result {
    if isShared { throw NetmemError.unreadable(.shared) }
    let base = try unsafe netmem.accessibleAddress(writing: true) + Int(start)
    var span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: Int(count))
    return try body(&span)
  }

  /// A second handle to the fragment. See ``Netmem/share()``.
  @inlinable
  public mutating func share() -> NetmemFragment {
    isShared = true
    var other = NetmemFragment(netmem.share(), start: Int(start), count: Int(count))
    other.isShared = true
    return other
  }

  /// Host or device memory.
  @inlinable public var kind: Netmem.Kind { netmem.kind }

  /// Handles to the IOV: fragments, shares, and what the pool has in hand of it.
  package var iovReferenceCount: Int { netmem.referenceCount }
  package var iovOffset: UInt64 { netmem.offset }
}

extension PagePool {
  /// Takes a part of a buffer, or nil when there is none (`page_pool_alloc_netmem`). Owner thread
  /// only.
  ///
  /// Fragments start at cache lines. A request for more than half of an IOV gets all of it, and the
  /// last fragment that fits into an IOV gets what is left over, too: ``NetmemFragment/byteCount``
  /// says how much. In a pool with a ledger each fragment of host memory is followed by a canary of
  /// one cache line.
  /// - Parameters:
  ///   - byteCount: 1 ... `iovByteCount`; otherwise nil, counted as `tooLarge`.
  ///   - fileID: where the call stands, for pools with a ledger (``PagePool/isDebugging``).
  ///   - line: the same.
  /// - Precondition: the calling thread owns the pool.
  @inlinable
  @inline(__always)
  public func allocateFragment(
    byteCount: Int, fileID: StaticString = #fileID, line: UInt = #line
  ) -> NetmemFragment? {
    let state = unsafe self.state
    unsafe state.pointee.beginAllocation()
    guard unsafe _fastPath(state.pointee.isMine) else {
      _ = unsafe State.allocateNotOwner(state)
      return nil
    }
    let start = unsafe state.pointee.fragments.offset
    let size = (byteCount &+ 63) & ~63
    // 1 GiB: the largest IOV. Neither the first of an IOV nor, with what is left, the last.
    guard
      unsafe _fastPath(
        byteCount > 0 && byteCount <= 1 &<< 30
          && start &+ 2 &* size <= state.pointee.fragments.end),
      let record = unsafe state.pointee.fragments.record
    else {
      if let fragment = unsafe cutAtOnce(byteCount, state) { return fragment }
      return unsafe State.allocateFragmentSlow(byteCount, CallSite(fileID, line), state)
    }
    unsafe state.pointee.fragments.offset = start &+ size
    unsafe state.pointee.fragments.given &+= 1
    unsafe state.pointee.endAllocation(0)
    return unsafe NetmemFragment(Netmem(record: record), start: start, count: size)
  }
}

/// The first or the last fragment of an IOV, if the cache has one. Calls nothing out, so that it
/// needs no more than the allocation that has begun, and ends it; nil, and it goes on.
///
/// Not a member: see ``putElsewhere``.
@usableFromInline
@inline(never)
func cutAtOnce(_ byteCount: Int, _ state: PagePool.State.Reference) -> NetmemFragment? {
  let capacity = unsafe state.pointee.fragmentedByteCount
  // Of one of which two would not fit, the long way gives the whole IOV.
  guard byteCount > 0, byteCount <= capacity / 2 else { return nil }
  let size = (byteCount &+ 63) & ~63
  var taken = 0
  if unsafe state.pointee.fragments.end &- state.pointee.fragments.offset < size {
    guard let count = unsafe PagePool.State.beginNext(state) else { return nil }
    taken = count
  }
  let start = unsafe state.pointee.fragments.offset
  guard let record = unsafe state.pointee.fragments.record else { return nil }
  if start &+ 2 &* size <= capacity {
    unsafe state.pointee.fragments.offset = start &+ size
    unsafe state.pointee.fragments.given &+= 1
    unsafe state.pointee.endAllocation(taken)
    return unsafe NetmemFragment(Netmem(record: record), start: start, count: size)
  }
  // The last: what the cursor holds goes, but for this one's reference. Where nobody else has one,
  // nobody can change their number.
  let left = unsafe FragmentCursor.bias &- state.pointee.fragments.given
  if unsafe record.pointee.referenceCount.load(ordering: .acquiring) == left {
    unsafe record.pointee.referenceCount.store(1, ordering: .relaxed)
  } else {
    unsafe record.pointee.referenceCount.wrappingSubtract(left &- 1, ordering: .releasing)
  }
  unsafe state.pointee.fragments = FragmentCursor()
  unsafe state.pointee.endAllocation(taken)
  return unsafe NetmemFragment(Netmem(record: record), start: start, count: capacity &- start)
}

extension PagePool.State {
  /// Begins to cut the present IOV anew, if all its fragments have died, or else one from the
  /// cache. Calls nothing out. Returns how many were taken from the cache; nil if that is empty.
  @inline(__always)
  fileprivate static func beginNext(_ state: Reference) -> Int? {
    if let record = unsafe state.pointee.fragments.record {
      let left = unsafe FragmentCursor.bias &- state.pointee.fragments.given
      if unsafe record.pointee.referenceCount.load(ordering: .acquiring) == left
        || record.pointee.referenceCount.wrappingSubtract(left, ordering: .acquiringAndReleasing)
          .newValue == 0
      {
        unsafe beginFragments(record, state)
        return 0
      }
      unsafe state.pointee.fragments = FragmentCursor()
    }
    let top = unsafe state.pointee.top.load()
    guard unsafe top != state.pointee.base else { return nil }
    unsafe state.pointee.top.store(top - 1)
    unsafe beginFragments((top - 1).pointee.record, state)
    return 1
  }

  /// A fragment, begun on the owner thread, for which there is no IOV at hand, that has one to
  /// itself, or has to be looked at.
  @usableFromInline
  @inline(never)
  static func allocateFragmentSlow(
    _ byteCount: Int, _ site: PagePool.CallSite, _ state: Reference
  ) -> NetmemFragment? {
    unsafe enterFromAllocation(state)
    var fragment: NetmemFragment?
    unsafe state.pointee.core._withUnsafeGuaranteedRef {
      fragment = unsafe cutFragment(byteCount, site, state, $0)
    }
    unsafe leave(state)
    return fragment
  }

  private static func cutFragment(
    _ byteCount: Int, _ site: PagePool.CallSite, _ state: Reference, _ core: PoolCore
  ) -> NetmemFragment? {
    let capacity = core.iovByteCount
    guard byteCount > 0, byteCount <= capacity else {
      unsafe state.pointee.counters.tooLarge.addAsOnlyWriter(1)
      return nil
    }
    let mask = FragmentCursor.alignment - 1
    let used = (byteCount + mask) & ~mask
    // The canary's room; what a pool without a ledger gives is not changed by it.
    let size = core.ledger == nil ? used : used + FragmentCursor.alignment
    guard 2 * size <= capacity else {
      guard let whole = unsafe takeInside(site, state, core) else { return nil }
      return unsafe NetmemFragment(Netmem(record: whole.record), start: 0, count: capacity)
    }
    if unsafe state.pointee.fragments.record == nil
      || capacity - state.pointee.fragments.offset < size
    {
      guard unsafe prepareIOV(site, state, core) else { return nil }
    }
    let start = unsafe state.pointee.fragments.offset
    let netmem = unsafe cut(size, state)
    let rest = capacity - start - size
    if let ledger = core.ledger {
      ledger.guardBytes(start + byteCount..<start + size, of: netmem.reference)
      return NetmemFragment(netmem, start: start, count: byteCount)
    }
    guard rest < size else { return NetmemFragment(netmem, start: start, count: size) }
    unsafe endFragments(state)
    return NetmemFragment(netmem, start: start, count: capacity - start)
  }

  /// Sees to an IOV to cut from: the present one from its start if all its fragments have died,
  /// else a new one. False if there is none.
  private static func prepareIOV(
    _ site: PagePool.CallSite, _ state: Reference, _ core: PoolCore
  ) -> Bool {
    if unsafe state.pointee.fragments.isIdle, core.ledger == nil,
      let record = unsafe state.pointee.fragments.record
    {
      unsafe beginFragments(record, state)
      return true
    }
    unsafe endFragments(state)
    guard let iov = unsafe takeInside(site, state, core) else { return false }
    // The provider may have called back, and somebody there have begun another one.
    while unsafe state.pointee.fragments.record != nil { unsafe endFragments(state) }
    unsafe beginFragments(iov.record, state)
    return true
  }

  /// A whole buffer, counted as any allocation. Inside.
  static func takeInside(
    _ site: PagePool.CallSite, _ state: Reference, _ core: PoolCore
  ) -> RecordReference? {
    if unsafe state.pointee.stackedCount == 0, unsafe state.pointee.wholeBatch != nil {
      _ = unsafe state.pointee.stackWholeBatch()
    }
    guard unsafe state.pointee.stackedCount > 0 else {
      return unsafe core.allocateSlow(.normal, site, state)
    }
    unsafe state.pointee.served.addAsOnlyWriter(2)
    return unsafe state.pointee.pop()
  }
}
