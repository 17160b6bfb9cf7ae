// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// D. What Linux ended with (`netmem_ref`, include/net/netmem.h): a tag for the kind, and the
/// fields that both kinds have at shared offsets, so that those need the tag masked, not tested.
/// Field for field the kernel's sizes: a `struct page` and a `net_iov` of 64 bytes.
enum Hybrid: RecordLayout {
  /// Both records begin with this (`netmem_desc`).
  @unsafe
  struct Description: ~Copyable {
    /// Node and reserve flag of a page; unused in an IOV, as in the kernel.
    let flags: UInt64
    let magic: UInt64 = 0x40
    let pool: PoolReference
    let mappingPad: UInt64 = 0
    let address: UInt64
    let holders = Atomic<Int>(1)
  }

  @unsafe
  struct Page: ~Copyable {
    let description: Description
    let index: UInt64
    let rest: UInt64 = 0
  }

  @unsafe
  struct IOV: ~Copyable {
    let description: Description
    let type: UInt64 = 0
    let owner: UnsafePointer<ChunkOwner>
  }

  static let reservedFlag: UInt64 = 1
  static let nodeShift: UInt64 = 54

  static var recordByteCounts: (host: Int, device: Int) {
    unsafe (MemoryLayout<Page>.stride, MemoryLayout<IOV>.stride)
  }

  static func makeHandles(of run: Run, count: Int, for pool: PoolReference) -> [Handle] {
    if run.isDevice {
      let iovs = unsafe Placement.allocate(IOV.self, count: count)
      let owner = unsafe ChunkOwner.make(run, iovs)
      return (0..<count).map { index in
        unsafe (iovs + index).initialize(
          to: IOV(
            description: Description(flags: 0, pool: pool, address: run.address(index)),
            owner: owner))
        return unsafe UInt(bitPattern: iovs + index) | 1
      }
    }
    let pages = unsafe Placement.allocate(Page.self, count: count)
    return (0..<count).map { index in
      unsafe (pages + index).initialize(
        to: Page(
          description: Description(
            flags: UInt64(run.node) << nodeShift, pool: pool, address: run.address(index)),
          index: run.offset(index) >> Run.iovShift))
      return unsafe UInt(bitPattern: pages + index)
    }
  }

  @inline(__always)
  static func isIOV(_ handle: Handle) -> Bool { handle & 1 != 0 }

  /// Masks the tag (`netmem_to_nmdesc`).
  @inline(__always)
  static func description(_ handle: Handle) -> UnsafeMutablePointer<Description> {
    unsafe UnsafeMutablePointer(bitPattern: handle & ~1).unsafelyUnwrapped
  }

  @inline(__always)
  static func page(_ handle: Handle) -> UnsafeMutablePointer<Page> {
    unsafe UnsafeMutablePointer(bitPattern: handle).unsafelyUnwrapped
  }

  @inline(__always)
  static func iov(_ handle: Handle) -> UnsafeMutablePointer<IOV> {
    unsafe UnsafeMutablePointer(bitPattern: handle &- 1).unsafelyUnwrapped
  }

  @inline(__always)
  static func pool(of handle: Handle) -> PoolReference {
    unsafe description(handle).pointee.pool
  }

  @inline(__always)
  static func isReserved(_ handle: Handle) -> Bool {
    if isIOV(handle) { return false }
    return unsafe description(handle).pointee.flags & reservedFlag != 0
  }

  @inline(__always)
  static func hasOneHolder(_ handle: Handle) -> Bool {
    unsafe description(handle).pointee.holders.load(ordering: .acquiring) == 1
  }

  @inline(__always)
  static func release(_ handle: Handle, _ pool: PoolReference) {
    if isIOV(handle) { unsafe releaseIOV(handle, pool) } else { unsafe releasePage(handle, pool) }
  }

  @inline(__always)
  static func node(of handle: Handle) -> Int {
    if isIOV(handle) { return unsafe Int(iov(handle).pointee.owner.pointee.node) }
    return unsafe Int(description(handle).pointee.flags &>> nodeShift)
  }

  @inline(__always)
  static func offset(of handle: Handle) -> UInt64 {
    if isIOV(handle) {
      let iov = unsafe iov(handle)
      let owner = unsafe iov.pointee.owner
      let first = unsafe owner.pointee.records.assumingMemoryBound(to: IOV.self)
      return unsafe owner.pointee.baseOffset
        &+ UInt64(truncatingIfNeeded: iov - first) &<< Run.iovShift
    }
    return unsafe page(handle).pointee.index &<< Run.iovShift
  }

  @inline(__always)
  static func address(of handle: Handle) -> UInt64 {
    unsafe description(handle).pointee.address
  }

  @inline(__always)
  static func addHolder(_ handle: Handle) {
    unsafe description(handle).pointee.holders.add(1, ordering: .relaxed)
  }

  @inline(__always)
  static func dropHolder(_ handle: Handle) -> Bool {
    let left = unsafe description(handle).pointee.holders.subtract(
      1, ordering: .acquiringAndReleasing)
    guard left.newValue == 0 else { return false }
    unsafe description(handle).pointee.holders.store(1, ordering: .relaxed)
    return true
  }
}
