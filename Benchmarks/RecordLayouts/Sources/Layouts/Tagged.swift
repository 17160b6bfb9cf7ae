// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A. A tagged word, and an `if` at each use: bit 0 is set for device memory. The two records have
/// nothing in common.
enum Tagged: RecordLayout {
  @unsafe
  struct Page: ~Copyable {
    let pool: PoolReference
    let address: UInt64
    let holders = Atomic<UInt32>(1)
    let index: UInt32
    let node: Int16
    var isReserved = false
  }

  @unsafe
  struct IOV: ~Copyable {
    let owner: UnsafePointer<ChunkOwner>
    let pool: PoolReference
    let holders = Atomic<UInt32>(1)
  }

  static var recordByteCounts: (host: Int, device: Int) {
    unsafe (MemoryLayout<Page>.stride, MemoryLayout<IOV>.stride)
  }

  static func makeHandles(of run: Run, count: Int, for pool: PoolReference) -> [Handle] {
    if run.isDevice {
      let iovs = unsafe Placement.allocate(IOV.self, count: count)
      let owner = unsafe ChunkOwner.make(run, iovs)
      return (0..<count).map { index in
        unsafe (iovs + index).initialize(to: IOV(owner: owner, pool: pool))
        return unsafe UInt(bitPattern: iovs + index) | 1
      }
    }
    let pages = unsafe Placement.allocate(Page.self, count: count)
    return (0..<count).map { index in
      unsafe (pages + index).initialize(
        to: Page(
          pool: pool, address: run.address(index),
          index: UInt32(run.offset(index) >> Run.iovShift), node: Int16(run.node)))
      return unsafe UInt(bitPattern: pages + index)
    }
  }

  @inline(__always)
  static func isIOV(_ handle: Handle) -> Bool { handle & 1 != 0 }

  @inline(__always)
  static func page(_ handle: Handle) -> UnsafeMutablePointer<Page> {
    unsafe UnsafeMutablePointer(bitPattern: handle).unsafelyUnwrapped
  }

  @inline(__always)
  static func iov(_ handle: Handle) -> UnsafeMutablePointer<IOV> {
    unsafe UnsafeMutablePointer(bitPattern: handle &- 1).unsafelyUnwrapped
  }

  @inline(__always)
  static func byteOffset(_ iov: UnsafeMutablePointer<IOV>) -> UInt64 {
    let first = unsafe iov.pointee.owner.pointee.records.assumingMemoryBound(to: IOV.self)
    return unsafe UInt64(truncatingIfNeeded: iov - first) &<< Run.iovShift
  }

  @inline(__always)
  static func pool(of handle: Handle) -> PoolReference {
    unsafe isIOV(handle) ? iov(handle).pointee.pool : page(handle).pointee.pool
  }

  @inline(__always)
  static func isReserved(_ handle: Handle) -> Bool {
    unsafe isIOV(handle) ? false : page(handle).pointee.isReserved
  }

  @inline(__always)
  static func hasOneHolder(_ handle: Handle) -> Bool {
    if isIOV(handle) {
      return unsafe iov(handle).pointee.holders.load(ordering: .acquiring) == 1
    }
    return unsafe page(handle).pointee.holders.load(ordering: .acquiring) == 1
  }

  @inline(__always)
  static func release(_ handle: Handle, _ pool: PoolReference) {
    if isIOV(handle) { unsafe releaseIOV(handle, pool) } else { unsafe releasePage(handle, pool) }
  }

  @inline(__always)
  static func node(of handle: Handle) -> Int {
    unsafe isIOV(handle)
      ? Int(iov(handle).pointee.owner.pointee.node) : Int(page(handle).pointee.node)
  }

  @inline(__always)
  static func offset(of handle: Handle) -> UInt64 {
    if isIOV(handle) {
      let iov = unsafe iov(handle)
      return unsafe iov.pointee.owner.pointee.baseOffset &+ byteOffset(iov)
    }
    return unsafe UInt64(page(handle).pointee.index) &<< Run.iovShift
  }

  @inline(__always)
  static func address(of handle: Handle) -> UInt64 {
    if isIOV(handle) {
      let iov = unsafe iov(handle)
      return unsafe iov.pointee.owner.pointee.baseAddress &+ byteOffset(iov)
    }
    return unsafe page(handle).pointee.address
  }

  @inline(__always)
  static func addHolder(_ handle: Handle) {
    if isIOV(handle) {
      unsafe iov(handle).pointee.holders.add(1, ordering: .relaxed)
    } else {
      unsafe page(handle).pointee.holders.add(1, ordering: .relaxed)
    }
  }

  @inline(__always)
  static func dropHolder(_ handle: Handle) -> Bool {
    if isIOV(handle) { return unsafe Holders.drop(iov(handle).pointee.holders) }
    return unsafe Holders.drop(page(handle).pointee.holders)
  }
}

/// What every layout does with its count of holders.
enum Holders {
  @inline(__always)
  static func drop(_ holders: borrowing Atomic<UInt32>) -> Bool {
    guard holders.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return false }
    holders.store(1, ordering: .relaxed)
    return true
  }
}
