// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemSystem

/// The ring by which buffers go back to an instance of zero-copy receive, and the kernel's counts
/// beside it (`struct zcrx_rq`).
///
/// Thread rules: the thread that made the io_uring.
@safe
final class RefillRing {
  /// Entries at most (`IO_RQ_MAX_ENTRIES`, io_uring/zcrx.c).
  private static let entryLimit = 1 << 15

  // SAFETY: the addresses in it are inside `memory`, or nil.
  private let memory: MemoryMapping
  /// The kernel's number for the instance, and where the ring is.
  let instance: curing_zerocopy
  /// Buffers in it that the kernel was not told to take out.
  private(set) var unflushedCount = 0
  /// Times that the kernel was told to.
  private(set) var flushCount = 0

  /// Registers memory with a ring for zero-copy receive; all of it is the kernel's.
  /// - Parameter complete: fills in what is to be registered, all but the refill ring.
  init(
    _ ring: borrowing URing, bufferCount: Int, capabilities: ZeroCopyCapabilities,
    _ complete: (inout curing_zerocopy_request) -> Void
  ) throws(Errno) {
    var entryCount = 1
    while entryCount < min(bufferCount, Self.entryLimit) { entryCount *= 2 }
    let memory = try MemoryMapping.anonymous(
      byteCount: capabilities.refillByteCount(entryCount: entryCount))
    var request = unsafe curing_zerocopy_request()
    unsafe request.refill = memory.baseAddress
    unsafe request.refill_byte_count = memory.byteCount
    unsafe request.entries = UInt32(entryCount)
    unsafe request.wants_events = capabilities.hasEvents ? 1 : 0
    unsafe complete(&request)
    unsafe instance = try uring_registerArea(ring.ring, request)
    self.memory = memory
  }

  /// Token of the memory that was registered first.
  var firstToken: UInt64 { unsafe instance.area_token }

  /// Gives a buffer back; tells the kernel to take some out where the ring is full.
  func push(
    token: UInt64, offset: UInt64, byteCount: Int, _ ring: borrowing URing
  ) throws(Errno) {
    while true {
      let result = unsafe withUnsafePointer(to: instance) {
        unsafe curing_zerocopy_push($0, token, offset, UInt32(byteCount))
      }
      if result == 0 { break }
      try flush(ring)
    }
    unflushedCount += 1
  }

  /// Tells the kernel to take all of them out (`ZCRX_CTRL_FLUSH_RQ`).
  func flush(_ ring: borrowing URing) throws(Errno) {
    try unsafe uring_flushRefill(ring.ring, instance)
    unflushedCount = 0
    flushCount += 1
  }

  /// Adds memory, and returns the token of its buffers (`ZCRX_CTRL_ADD_AREA`).
  func add(_ memory: curing_zerocopy_memory, _ ring: borrowing URing) throws(Errno) -> UInt64 {
    try unsafe uring_addArea(ring.ring, instance, memory)
  }

  /// Has an event that came be sent once more (`ZCRX_CTRL_ARM_EVENT`).
  func arm(_ event: UInt32, _ ring: borrowing URing) throws(Errno) {
    try unsafe uring_armEvent(ring.ring, instance, event)
  }

  /// What the kernel has copied: times and bytes.
  var copies: (count: UInt64, byteCount: UInt64) {
    var count: UInt64 = 0
    var byteCount: UInt64 = 0
    unsafe withUnsafePointer(to: instance) {
      unsafe curing_zerocopy_read_stats($0, &count, &byteCount)
    }
    return (count, byteCount)
  }
}
