// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemSystem

/// The ring by which buffers go back to an instance of zero-copy receive, and the kernel's counts
/// beside it (`struct zcrx_rq`). It is in a memory file, so that rings of other processes can have
/// it as well.
///
/// Who else has the memory can write anything there. The kernel takes back no buffer that it has,
/// and skips what is none; that what lies there is not what was written is found with the next
/// buffer that is pushed, or when the kernel fills one that is held.
///
/// Thread rules: the thread that made the io_uring.
@safe
final class RefillRing {
  /// Entries at most (`IO_RQ_MAX_ENTRIES`, io_uring/zcrx.c).
  static let entryLimit = 1 << 15

  /// The memory, shared.
  let file: MemoryFile
  // SAFETY: the addresses in it are inside `memory`, or nil.
  private let memory: MemoryMapping
  /// The kernel's number for the instance, and where the ring is.
  let instance: curing_zerocopy
  /// Where the next entry goes.
  private var tail: UInt32 = 0
  /// Whether others push as well.
  var isShared = false
  /// Times that the kernel was told to take buffers out.
  private(set) var flushCount = 0

  /// Registers memory with a ring for zero-copy receive; all of it is the kernel's.
  /// - Parameter complete: fills in what is to be registered, all but the refill ring.
  init(
    _ ring: borrowing URing, bufferCount: Int, capabilities: ZeroCopyCapabilities,
    _ complete: (inout curing_zerocopy_request) -> Void
  ) throws(Errno) {
    var entryCount = 1
    while entryCount < min(bufferCount, Self.entryLimit) { entryCount *= 2 }
    file = try MemoryFile(
      name: "zcrx-refill", byteCount: capabilities.refillByteCount(entryCount: entryCount))
    try file.addSeals()
    memory = try file.map()
    var request = unsafe curing_zerocopy_request()
    unsafe request.refill = memory.baseAddress
    unsafe request.refill_byte_count = memory.byteCount
    unsafe request.entries = UInt32(entryCount)
    unsafe request.wants_events = capabilities.hasEvents ? 1 : 0
    unsafe complete(&request)
    unsafe instance = try uring_registerArea(ring.ring, request)
  }

  /// Gives a ring an instance that another one has exported.
  init(
    _ ring: borrowing URing, importing exported: borrowing OwnedFileDescriptor, file: MemoryFile,
    entryCount: Int, token: UInt64, counts: Bool
  ) throws(Errno) {
    self.file = file
    memory = try file.map()
    var instance = unsafe curing_zerocopy()
    unsafe instance.mask = UInt32(entryCount - 1)
    unsafe instance.area_token = token
    try unsafe uring_import(
      ring.ring, exported.rawValue, refill: memory.bytes, counts: counts, &instance)
    unsafe self.instance = instance
    isShared = true
  }

  /// Token of the memory that was registered first.
  var firstToken: UInt64 { unsafe instance.area_token }

  /// Entries that there is room for.
  var entryCount: Int { unsafe Int(instance.mask) + 1 }

  /// Whether the kernel counts what it copies.
  var hasCounts: Bool { unsafe instance.stats != nil }

  /// Entries in it that the kernel has not taken out.
  var unflushedCount: Int {
    unsafe withUnsafePointer(to: instance) { unsafe Int(curing_zerocopy_unflushed($0)) }
  }

  /// Gives a buffer back; tells the kernel to take some out where the ring is full.
  /// - Throws: `EUCLEAN` where the ring is not as it was left.
  func push(
    token: UInt64, offset: UInt64, byteCount: Int, _ ring: borrowing URing
  ) throws(Errno) {
    if isShared {
      tail = unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_tail($0) }
    }
    for isLast in [false, true] {
      let result = unsafe withUnsafePointer(to: instance) {
        unsafe curing_zerocopy_push($0, tail, token, offset, UInt32(byteCount))
      }
      if result == 0 { break }
      guard Errno(rawValue: 0 - result) == .EBUSY, !isLast else { throw .EUCLEAN }
      try flush(ring)
    }
    tail &+= 1
  }

  /// Tells the kernel to take all of them out (`ZCRX_CTRL_FLUSH_RQ`).
  func flush(_ ring: borrowing URing) throws(Errno) {
    // It stops at what names no buffer, behind which there may be some that do.
    for _ in 0...entryCount {
      let before = unflushedCount
      try unsafe uring_flushRefill(ring.ring, instance)
      flushCount += 1
      let after = unflushedCount
      if after == 0 || after == before { return }
    }
  }

  /// Adds memory, and returns the token of its buffers (`ZCRX_CTRL_ADD_AREA`).
  func add(_ memory: curing_zerocopy_memory, _ ring: borrowing URing) throws(Errno) -> UInt64 {
    try unsafe uring_addArea(ring.ring, instance, memory)
  }

  /// Has an event that came be sent once more (`ZCRX_CTRL_ARM_EVENT`).
  func arm(_ event: UInt32, _ ring: borrowing URing) throws(Errno) {
    try unsafe uring_armEvent(ring.ring, instance, event)
  }

  /// A descriptor by which another ring gets the instance (`ZCRX_CTRL_EXPORT`).
  func export(_ ring: borrowing URing) throws(Errno) -> OwnedFileDescriptor {
    OwnedFileDescriptor(owning: try unsafe uring_export(ring.ring, instance))
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
