// SPDX-License-Identifier: Apache-2.0

/// What stands for a buffer: one word, never 0. What is in it is the layout's business.
typealias Handle = UInt

/// A way to describe buffers of two kinds behind one handle.
///
/// Everything that the pool and its users ask of a handle is asked here, so that the layouts differ
/// in nothing else.
protocol RecordLayout {
  /// Bytes of bookkeeping per buffer: host, device.
  static var recordByteCounts: (host: Int, device: Int) { get }

  /// Makes the records of `count` buffers. They live as long as the process.
  static func makeHandles(of run: Run, count: Int, for pool: PoolReference) -> [Handle]

  // What the pool asks.

  static func pool(of handle: Handle) -> PoolReference
  /// Whether the buffer is of the reserve, and so never recycled (`pfmemalloc`).
  static func isReserved(_ handle: Handle) -> Bool
  static func hasOneHolder(_ handle: Handle) -> Bool
  /// Gives the buffer back to where its pool has it from.
  static func release(_ handle: Handle, _ pool: PoolReference)

  // What users ask.

  static func node(of handle: Handle) -> Int
  static func offset(of handle: Handle) -> UInt64
  static func address(of handle: Handle) -> UInt64
  static func addHolder(_ handle: Handle)
  /// True when that was the last one; there is one again then.
  static func dropHolder(_ handle: Handle) -> Bool
}

/// Buffers of 4 KiB that lie one behind the other.
struct Run {
  let isDevice: Bool
  let node: Int
  let baseOffset: UInt64
  let baseAddress: UInt64

  static let iovShift: UInt64 = 12

  static let host = Run(isDevice: false, node: 0, baseOffset: 0, baseAddress: 0x1_0000_0000)
  static let device = Run(
    isDevice: true, node: 1, baseOffset: 0x20_0000, baseAddress: 0x40_0000_0000)

  static let all = [host, device, host]

  func offset(_ index: Int) -> UInt64 { baseOffset + UInt64(index) << Self.iovShift }
  func address(_ index: Int) -> UInt64 { baseAddress + UInt64(index) << Self.iovShift }
}

/// What the device buffers of a run have in common (`dmabuf_genpool_chunk_owner`).
@unsafe
struct ChunkOwner {
  let records: UnsafeMutableRawPointer
  let baseOffset: UInt64
  let baseAddress: UInt64
  let node: Int32

  static func make(_ run: Run, _ records: UnsafeMutableRawPointer) -> UnsafePointer<ChunkOwner> {
    let owner = unsafe Placement.allocate(ChunkOwner.self, count: 1)
    unsafe owner.initialize(
      to: ChunkOwner(
        records: records, baseOffset: run.baseOffset, baseAddress: run.baseAddress,
        node: Int32(run.node)))
    return unsafe UnsafePointer(owner)
  }
}
