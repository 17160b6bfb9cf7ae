// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// E. Ours (``NetIOV`` in DevmemPagePool): one record of 32 bytes for both kinds, and what a run
/// shares, the kind among it, behind one pointer. Nothing is tested; the provider takes buffers
/// back; the reserve is a pool of its own instead of a flag.
enum Area: RecordLayout {
  @unsafe
  struct Shared {
    let records: UnsafeMutablePointer<Record>
    let baseOffset: UInt64
    let baseAddress: UInt64
    let node: Int32
    let iovShift: UInt8
  }

  @unsafe
  struct Record: ~Copyable {
    let area: UnsafePointer<Shared>
    let pool: PoolReference
    let holders = Atomic<UInt32>(1)
    let generation = Atomic<UInt32>(0)
    var next: UInt32 = 0
    let index: UInt32
  }

  static var recordByteCounts: (host: Int, device: Int) {
    unsafe (MemoryLayout<Record>.stride, MemoryLayout<Record>.stride)
  }

  static func makeHandles(of run: Run, count: Int, for pool: PoolReference) -> [Handle] {
    let records = unsafe Placement.allocate(Record.self, count: count)
    let area = unsafe Placement.allocate(Shared.self, count: 1)
    unsafe area.initialize(
      to: Shared(
        records: records, baseOffset: run.baseOffset, baseAddress: run.baseAddress,
        node: Int32(run.node), iovShift: UInt8(Run.iovShift)))
    return (0..<count).map { index in
      unsafe (records + index).initialize(
        to: Record(area: area, pool: pool, index: UInt32(index + 1)))
      return unsafe UInt(bitPattern: records + index)
    }
  }

  @inline(__always)
  static func record(_ handle: Handle) -> UnsafeMutablePointer<Record> {
    unsafe UnsafeMutablePointer(bitPattern: handle).unsafelyUnwrapped
  }

  @inline(__always)
  static func byteOffset(_ record: UnsafeMutablePointer<Record>) -> UInt64 {
    let area = unsafe record.pointee.area
    return unsafe UInt64(truncatingIfNeeded: record - area.pointee.records)
      &<< UInt64(area.pointee.iovShift)
  }

  @inline(__always)
  static func pool(of handle: Handle) -> PoolReference { unsafe record(handle).pointee.pool }

  @inline(__always)
  static func isReserved(_ handle: Handle) -> Bool { false }

  @inline(__always)
  static func hasOneHolder(_ handle: Handle) -> Bool {
    unsafe record(handle).pointee.holders.load(ordering: .acquiring) == 1
  }

  @inline(__always)
  static func release(_ handle: Handle, _ pool: PoolReference) {
    unsafe pool.pointee.release(pool, handle)
  }

  @inline(__always)
  static func node(of handle: Handle) -> Int {
    unsafe Int(record(handle).pointee.area.pointee.node)
  }

  @inline(__always)
  static func offset(of handle: Handle) -> UInt64 {
    let record = unsafe record(handle)
    return unsafe record.pointee.area.pointee.baseOffset &+ byteOffset(record)
  }

  @inline(__always)
  static func address(of handle: Handle) -> UInt64 {
    let record = unsafe record(handle)
    return unsafe record.pointee.area.pointee.baseAddress &+ byteOffset(record)
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
