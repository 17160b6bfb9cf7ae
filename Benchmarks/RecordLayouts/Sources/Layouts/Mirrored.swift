// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// C. Two records that have every field that is ever asked for at the same offset. The handle is
/// cast, not tested; only the provider knows what it really is, and it takes the buffer back.
enum Mirrored: RecordLayout {
  @unsafe
  struct Page: ~Copyable {
    let pool: PoolReference
    let address: UInt64
    let holders = Atomic<UInt32>(1)
    let index: UInt32
    let node: Int16
    var isReserved = false
  }

  /// As ``Page``, and what only the device's provider needs after that.
  @unsafe
  struct IOV: ~Copyable {
    let pool: PoolReference
    let address: UInt64
    let holders = Atomic<UInt32>(1)
    let index: UInt32
    let node: Int16
    var isReserved = false
    let owner: UnsafePointer<ChunkOwner>
  }

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
            pool: pool, address: run.address(index),
            index: UInt32(run.offset(index) >> Run.iovShift), node: Int16(run.node),
            owner: owner))
        return unsafe UInt(bitPattern: iovs + index)
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
  static func record(_ handle: Handle) -> UnsafeMutablePointer<Page> {
    unsafe UnsafeMutablePointer(bitPattern: handle).unsafelyUnwrapped
  }

  @inline(__always)
  static func pool(of handle: Handle) -> PoolReference { unsafe record(handle).pointee.pool }

  @inline(__always)
  static func isReserved(_ handle: Handle) -> Bool { unsafe record(handle).pointee.isReserved }

  @inline(__always)
  static func hasOneHolder(_ handle: Handle) -> Bool {
    unsafe record(handle).pointee.holders.load(ordering: .acquiring) == 1
  }

  @inline(__always)
  static func release(_ handle: Handle, _ pool: PoolReference) {
    unsafe pool.pointee.release(pool, handle)
  }

  @inline(__always)
  static func node(of handle: Handle) -> Int { unsafe Int(record(handle).pointee.node) }

  @inline(__always)
  static func offset(of handle: Handle) -> UInt64 {
    unsafe UInt64(record(handle).pointee.index) &<< Run.iovShift
  }

  @inline(__always)
  static func address(of handle: Handle) -> UInt64 { unsafe record(handle).pointee.address }

  @inline(__always)
  static func addHolder(_ handle: Handle) {
    unsafe record(handle).pointee.holders.add(1, ordering: .relaxed)
  }

  @inline(__always)
  static func dropHolder(_ handle: Handle) -> Bool {
    unsafe Holders.drop(record(handle).pointee.holders)
  }
}
