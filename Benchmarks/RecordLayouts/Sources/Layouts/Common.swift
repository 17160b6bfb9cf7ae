// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// B. One record for every buffer: holders, reserve flag, node, and an owner or a page. Which of
/// the two it is has to be asked where it is followed, and only there.
enum Common: RecordLayout {
  @unsafe
  struct Page {
    let address: UInt64
    let index: UInt32
  }

  @unsafe
  struct Record: ~Copyable {
    let pool: PoolReference
    /// A `ChunkOwner` or a `Page`.
    let ownerOrPage: UnsafeRawPointer
    let holders = Atomic<UInt32>(1)
    let node: Int16
    var isReserved = false
    let isIOV: Bool
  }

  static var recordByteCounts: (host: Int, device: Int) {
    unsafe (
      MemoryLayout<Record>.stride + MemoryLayout<Page>.stride, MemoryLayout<Record>.stride
    )
  }

  static func makeHandles(of run: Run, count: Int, for pool: PoolReference) -> [Handle] {
    let records = unsafe Placement.allocate(Record.self, count: count)
    let owner = unsafe ChunkOwner.make(run, records)
    let pages = unsafe Placement.allocate(Page.self, count: count)
    return (0..<count).map { index in
      unsafe (pages + index).initialize(
        to: Page(
          address: run.address(index), index: UInt32(run.offset(index) >> Run.iovShift)))
      unsafe (records + index).initialize(
        to: Record(
          pool: pool,
          ownerOrPage: run.isDevice ? UnsafeRawPointer(owner) : UnsafeRawPointer(pages + index),
          node: Int16(run.node), isIOV: run.isDevice))
      return unsafe UInt(bitPattern: records + index)
    }
  }

  @inline(__always)
  static func record(_ handle: Handle) -> UnsafeMutablePointer<Record> {
    unsafe UnsafeMutablePointer(bitPattern: handle).unsafelyUnwrapped
  }

  @inline(__always)
  static func owner(_ record: UnsafeMutablePointer<Record>) -> UnsafePointer<ChunkOwner> {
    unsafe record.pointee.ownerOrPage.assumingMemoryBound(to: ChunkOwner.self)
  }

  @inline(__always)
  static func page(_ record: UnsafeMutablePointer<Record>) -> UnsafePointer<Page> {
    unsafe record.pointee.ownerOrPage.assumingMemoryBound(to: Page.self)
  }

  @inline(__always)
  static func byteOffset(_ record: UnsafeMutablePointer<Record>) -> UInt64 {
    let first = unsafe owner(record).pointee.records.assumingMemoryBound(to: Record.self)
    return unsafe UInt64(truncatingIfNeeded: record - first) &<< Run.iovShift
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
    if unsafe record(handle).pointee.isIOV {
      unsafe releaseIOV(handle, pool)
    } else {
      unsafe releasePage(handle, pool)
    }
  }

  @inline(__always)
  static func node(of handle: Handle) -> Int { unsafe Int(record(handle).pointee.node) }

  @inline(__always)
  static func offset(of handle: Handle) -> UInt64 {
    let record = unsafe record(handle)
    if unsafe record.pointee.isIOV {
      return unsafe owner(record).pointee.baseOffset &+ byteOffset(record)
    }
    return unsafe UInt64(page(record).pointee.index) &<< Run.iovShift
  }

  @inline(__always)
  static func address(of handle: Handle) -> UInt64 {
    let record = unsafe record(handle)
    if unsafe record.pointee.isIOV {
      return unsafe owner(record).pointee.baseAddress &+ byteOffset(record)
    }
    return unsafe page(record).pointee.address
  }

  @inline(__always)
  static func addHolder(_ handle: Handle) {
    unsafe record(handle).pointee.holders.add(1, ordering: .relaxed)
  }

  @inline(__always)
  static func dropHolder(_ handle: Handle) -> Bool {
    unsafe Holders.drop(record(handle).pointee.holders)
  }
}
