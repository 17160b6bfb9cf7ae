// SPDX-License-Identifier: Apache-2.0

/// A part of a buffer: several packets share one IOV (`page_pool_alloc_netmem` with a size below a
/// page).
///
/// Move-only like ``Netmem``, and like it may be moved to and die on any thread; the IOV goes back to
/// its pool with its last fragment.
@frozen
public struct NetmemFragment: ~Copyable, Sendable {
  /// The whole buffer, of which this holds one reference. Its bytes are shared with other fragments.
  public let netmem: Netmem
  @usableFromInline let start: UInt32
  @usableFromInline let count: UInt32

  @inlinable
  init(_ netmem: consuming Netmem, start: Int, count: Int) {
    self.netmem = netmem
    self.start = UInt32(truncatingIfNeeded: start)
    self.count = UInt32(truncatingIfNeeded: count)
  }

  /// Size of the fragment in bytes: at least what was asked for. The last fragment of an IOV has the
  /// rest of it as well.
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
  /// - Throws: as ``Netmem/withMutableBytes(_:)``.
  @inlinable
  public func withMutableBytes<Result: ~Copyable>(
    _ body: (inout MutableRawSpan) throws -> Result
  ) throws -> Result {
    let base = try unsafe netmem.accessibleAddress(writing: true) + Int(start)
    var span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: Int(count))
    return try body(&span)
  }

  /// A second handle to the fragment. See ``Netmem/share()``.
  @inlinable
  public func share() -> NetmemFragment {
    NetmemFragment(netmem.share(), start: Int(start), count: Int(count))
  }
}

extension PagePool {
  /// Takes a part of a buffer, or nil when there is none (`page_pool_alloc_netmem`). Owner thread only.
  ///
  /// Fragments start at cache lines. A request of which two would not fit gets the whole IOV, and the
  /// last fragment that fits gets the rest of it as well: ``NetmemFragment/byteCount`` says. In a pool
  /// with a ledger each fragment of host memory is followed by a canary of one cache line.
  /// - Parameter byteCount: 1 ... `iovByteCount`; otherwise nil, counted as `tooLarge`.
  /// - Precondition: the calling thread owns the pool.
  public func allocateFragment(
    byteCount: Int, fileID: StaticString = #fileID, line: UInt = #line
  ) -> NetmemFragment? {
    let state = unsafe self.state
    let capacity = iovByteCount
    guard byteCount > 0, byteCount <= capacity, unsafe state.pointee.isMine else {
      return refuseFragment()
    }
    let mask = FragmentCursor.alignment - 1
    let used = (byteCount + mask) & ~mask
    // The canary's room; what a pool without a ledger gives is not changed by it.
    let size = core.ledger == nil ? used : used + FragmentCursor.alignment
    guard 2 * size <= capacity else {
      guard let whole = allocate(fileID: fileID, line: line) else { return nil }
      return NetmemFragment(whole, start: 0, count: capacity)
    }
    if unsafe state.pointee.fragments.record == nil
      || capacity - state.pointee.fragments.offset < size
    {
      guard prepareIOV(fileID, line) else { return nil }
    }
    let start = unsafe state.pointee.fragments.offset
    let netmem = unsafe State.cut(size, state)
    let rest = capacity - start - size
    if let ledger = core.ledger {
      ledger.guardBytes(start + byteCount..<start + size, of: netmem.iov)
      return NetmemFragment(netmem, start: start, count: byteCount)
    }
    guard rest < size else { return NetmemFragment(netmem, start: start, count: size) }
    unsafe State.endFragments(state)
    return NetmemFragment(netmem, start: start, count: capacity - start)
  }

  /// Sees to an IOV to cut from: the present one from its start if all its fragments have died, else
  /// a new one. False if there is none.
  @inline(never)
  private func prepareIOV(_ fileID: StaticString, _ line: UInt) -> Bool {
    if unsafe state.pointee.fragments.isIdle, core.ledger == nil,
      let record = unsafe state.pointee.fragments.record
    {
      unsafe State.beginFragments(record, state)
      return true
    }
    unsafe State.endFragments(state)
    guard let netmem = allocate(fileID: fileID, line: line) else { return false }
    unsafe State.beginFragments(netmem.forget(), state)
    return true
  }

  @inline(never)
  private func refuseFragment() -> NetmemFragment? {
    guard unsafe state.pointee.isMine else {
      // Traps, or counts that the pool is closed.
      _ = unsafe State.allocateNotOwner(state)
      return nil
    }
    unsafe state.pointee.counters.tooLarge.addAsOnlyWriter(1)
    return nil
  }
}
