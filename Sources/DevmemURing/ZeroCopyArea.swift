// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemSystem

/// The memory of a zero-copy receive without a network device: a whole dma-buf, by its CPU mapping
/// (`struct io_zcrx_area`), as buffers of a page pool of its own.
///
/// The kernel has all of them at first. A completion names one by its offset, which is then taken
/// out; when its ``Netmem`` ends, wherever that is, it is in the pool again, and from there it goes
/// back to the kernel by the refill ring. So the pool's return queue is what brings buffers back
/// from other threads, and a buffer cannot go back twice.
@safe
struct ZeroCopyArea: ~Copyable, @unchecked Sendable {
  /// The kernel's buffers are pages, where none of another size were asked for.
  static var iovByteCount: Int { PageSize.base4K.byteCount }

  /// Entries of a refill ring at most (`IO_RQ_MAX_ENTRIES`, io_uring/zcrx.c).
  static var refillEntryLimit: Int { 1 << 15 }

  // SAFETY: `buffers` has room for `capacity` elements, all initialised: those that are not nil are
  // the kernel's. Freed in deinit, which is after the end of every receive: the ring that this was
  // registered with receives only in calls of its owner.
  private let buffers: UnsafeMutablePointer<Netmem?>
  /// What the refill ring lies in.
  private final class RefillMemory {
    let mapping: MemoryMapping
    init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
  }

  /// Buffers that there are.
  let capacity: Int
  /// Of these, buffers that the kernel has.
  private(set) var count: Int
  /// Buffers in the refill ring that the kernel was not told to take out.
  private var unflushedCount = 0
  private let pool: PagePool
  private let refillMemory: RefillMemory
  /// The kernel's number for it, and where the refill ring is.
  let instance: curing_zerocopy

  deinit {
    unsafe buffers.deinitialize(count: capacity)
    unsafe buffers.deallocate()
  }

  /// Registers all of `buffer` with a ring for zero-copy receive.
  /// - Throws: ``URingError``, or ``/Devmem/DevmemError`` where the buffer is bound already.
  init(_ buffer: DMABuf, ring: borrowing URing, capabilities: ZeroCopyCapabilities) throws {
    guard let mapping = buffer.cpuMapping else {
      throw URingError(
        .unwritable, "registering memory for zero-copy receive",
        remedy: "The dma-buf has no CPU mapping: without a network device the CPU writes the"
          + " bytes. Use DMABuf.udmabuf.")
    }
    // Nobody else has its memory from here on. By offsets, as the kernel names them.
    let carving = try DMABufCarving(
      buffer, iovByteCount: Self.iovByteCount, addressing: .bufferOffset)
    let pool = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(name: "zcrx"))
    let capacity = buffer.byteCount / Self.iovByteCount
    var entryCount = 1
    while entryCount < min(capacity, Self.refillEntryLimit) { entryCount *= 2 }
    let memory: RefillMemory
    let registered: curing_zerocopy
    do throws(Errno) {
      memory = RefillMemory(
        try MemoryMapping.anonymous(
          byteCount: capabilities.refillByteCount(entryCount: entryCount)))
      unsafe registered = try uring_registerArea(
        ring.ring, mapping.bytes, refill: memory.mapping.bytes, entryCount: entryCount)
    } catch {
      throw URingError.registeringArea(error, source: mapping.source)
    }
    self.pool = pool
    self.capacity = capacity
    refillMemory = memory
    unsafe instance = registered
    unsafe buffers = .allocate(capacity: capacity)
    for index in 0..<capacity { unsafe (buffers + index).initialize(to: nil) }
    count = 0
    // The kernel has all of them from the start, without the refill ring.
    while let netmem = pool.allocate() { put(netmem) }
    precondition(count == capacity, "the pool has fewer buffers than the area")
  }

  private mutating func put(_ netmem: consuming Netmem) {
    let index = Int(netmem.offset) / Self.iovByteCount
    unsafe buffers[index] = consume netmem
    count += 1
  }

  /// Takes the buffer out that a completion names by its offset: the kernel has it no longer. Nil
  /// where the kernel did not have it.
  mutating func take(_ offset: UInt64) -> Netmem? {
    let index = Int(truncatingIfNeeded: offset & (1 << 48 - 1)) / Self.iovByteCount
    guard index < capacity, let netmem = unsafe buffers[index].take() else { return nil }
    count -= 1
    return netmem
  }

  /// Gives the kernel the buffers that have come back.
  ///
  /// It takes them out of the ring when it needs some, or is told to (`ZCRX_CTRL_FLUSH_RQ`), which
  /// without a network device is the only way that is promised.
  /// - Parameter flushesAll: whether it is told so for few.
  /// - Returns: whether it was told, and has buffers that it did not have before.
  mutating func refill(_ ring: borrowing URing, flushesAll: Bool) throws(Errno) -> Bool {
    while let netmem = pool.allocate() {
      while true {
        let offset = netmem.offset
        let result = unsafe withUnsafePointer(to: instance) {
          unsafe curing_zerocopy_push($0, offset, UInt32(Self.iovByteCount))
        }
        if result == 0 { break }
        // Full: an area may have more buffers than the ring has entries. `netmem` is in the pool
        // again if this fails.
        try flush(ring)
      }
      put(netmem)
      unflushedCount += 1
    }
    // Half of it, so that few system calls bring much back, and the kernel always has the rest.
    guard unflushedCount > 0, flushesAll || unflushedCount >= max(capacity / 2, 1) else {
      return false
    }
    try flush(ring)
    return true
  }

  private mutating func flush(_ ring: borrowing URing) throws(Errno) {
    try unsafe uring_flushRefill(ring.ring, instance)
    unflushedCount = 0
  }
}
