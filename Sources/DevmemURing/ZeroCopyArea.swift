// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemSystem

/// Memory of an instance of zero-copy receive (`struct io_zcrx_area`): a whole dma-buf, as buffers
/// of a page pool of its own.
///
/// The kernel has all of them at first. A completion names one by its offset, which is then taken
/// out; when its ``Netmem`` ends, wherever that is, it is in the pool again, and from there it goes
/// back to the kernel by the refill ring. So the pool's return queue is what brings buffers back
/// from other threads, and a buffer cannot go back twice.
///
/// Thread rules: the thread that made it; it may end on any.
@safe
final class ZeroCopyArea {
  /// By which mapping the kernel is given the memory.
  enum Mapping {
    /// The CPU mapping of the memory file: what comes beside the card can be copied there.
    case cpu
    /// The dma-buf itself, by its descriptor: no CPU ever writes to it.
    case descriptor
  }

  // SAFETY: `buffers` has room for `capacity` elements, all initialised: those that are not nil are
  // the kernel's. Freed in deinit, which is after the end of every receive (`ZeroCopyInstance`).
  private let buffers: UnsafeMutablePointer<Netmem?>
  // SAFETY: as `buffers`: whether a completion has named the buffer, which waits to be taken.
  private let waiting: UnsafeMutablePointer<Bool>
  private let memory: DMABuf
  private let pool: PagePool
  private let provider: ZeroCopyMemoryProvider
  private let mapping: Mapping
  /// Buffers that there are.
  let capacity: Int
  /// Bytes of one, a power of two.
  let iovByteCount: Int
  /// Of these, buffers that the kernel has.
  private(set) var count = 0
  /// What the kernel's offsets have in their upper 16 bits; set when the memory is registered.
  var token: UInt64 = 0

  deinit {
    unsafe buffers.deinitialize(count: capacity)
    unsafe buffers.deallocate()
    unsafe waiting.deallocate()
  }

  /// Takes all of a buffer for itself.
  /// - Throws: ``URingError``, or ``/Devmem/DevmemError`` where the buffer is bound already.
  convenience init(_ memory: DMABuf, iovByteCount: Int, mapping: Mapping) throws {
    let operation = "registering memory for zero-copy receive"
    guard mapping == .descriptor ? memory.isExported : memory.cpuMapping != nil else {
      throw URingError(
        mapping == .descriptor ? .notADMABuf : .unwritable, operation,
        remedy: mapping == .descriptor
          ? "This is a bare memory file: use DMABuf.udmabuf, or its CPU mapping."
          : "The dma-buf has no CPU mapping, by which the CPU writes the bytes: use"
            + " DMABuf.udmabuf.")
    }
    // Nobody else has its memory from here on. By offsets, as the kernel names them.
    let carving = try DMABufCarving(
      memory, iovByteCount: iovByteCount, addressing: .bufferOffset)
    guard carving.iovCount * iovByteCount == memory.byteCount else {
      throw URingError(
        .notContiguous, operation,
        remedy: "Buffers of \(iovByteCount) bytes have to be contiguous: make the dma-buf of huge"
          + " pages (DMABuf.udmabuf(byteCount:pageSize: .huge2M)), a multiple of them large.")
    }
    try self.init(carving, mapping: mapping)
  }

  /// All buffers of a carving, by offsets.
  init(_ carving: DMABufCarving, mapping: Mapping) throws {
    memory = carving.buffer
    self.mapping = mapping
    iovByteCount = carving.iovByteCount
    capacity = carving.iovCount
    provider = ZeroCopyMemoryProvider(carving)
    pool = try PagePool(
      provider: provider, configuration: PagePool.Configuration(name: "zcrx"))
    unsafe buffers = .allocate(capacity: capacity)
    unsafe waiting = .allocate(capacity: capacity)
    unsafe waiting.initialize(repeating: false, count: capacity)
    for index in 0..<capacity { unsafe (buffers + index).initialize(to: nil) }
  }

  /// Whether this is the thread that may use it.
  var isOwnedByCurrentThread: Bool { pool.isOwnedByCurrentThread }

  /// How the kernel is told of the memory, during a call.
  func withDescription<Result>(
    _ body: (curing_zerocopy_memory) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    var description = unsafe curing_zerocopy_memory()
    unsafe description.byte_count = memory.byteCount
    switch mapping {
    case .cpu:
      unsafe description.address = memory.cpuMapping?.baseAddress
      unsafe description.dmabuf = -1
      return try unsafe body(description)
    case .descriptor:
      return try memory.withDescriptor { descriptor throws(Errno) in
        unsafe description.dmabuf = descriptor
        return try unsafe body(description)
      }
    }
  }

  /// What a refusal of the memory means.
  func refusal(_ errno: Errno) -> URingError {
    .registeringArea(errno, source: memory.cpuMapping?.source ?? .dmaBuf)
  }

  /// All buffers are the kernel's: it has got them when the memory was registered, without the
  /// refill ring.
  func lendAll() {
    while let netmem = pool.allocate() { put(netmem) }
    precondition(count == capacity, "the pool has fewer buffers than the area")
  }

  private func put(_ netmem: consuming Netmem) {
    let index = Int(netmem.offset) / iovByteCount
    unsafe buffers[index] = consume netmem
    count += 1
  }

  /// Takes the buffer out that a completion names by its offset: the kernel has it no longer. Nil
  /// where the kernel did not have it.
  func take(_ offset: UInt64) -> Netmem? {
    let index = index(of: offset)
    guard index < capacity, unsafe !waiting[index], let netmem = unsafe buffers[index].take() else {
      return nil
    }
    count -= 1
    return netmem
  }

  /// A completion has named the buffer, which is to be taken later: the next one that names it is
  /// a false one.
  /// - Returns: false where this one is.
  func wait(for offset: UInt64) -> Bool {
    let index = index(of: offset)
    guard index < capacity, unsafe !waiting[index], unsafe buffers[index] != nil else {
      return false
    }
    unsafe waiting[index] = true
    return true
  }

  /// It is about to be taken.
  func stopWaiting(for offset: UInt64) { unsafe waiting[index(of: offset)] = false }

  /// Gives the kernel the buffers that have come back.
  func refill(_ refillRing: RefillRing, _ ring: borrowing URing) throws(Errno) {
    while let netmem = pool.allocate() {
      // `netmem` is in the pool again if this fails.
      try push(netmem.offset, refillRing, ring)
      put(netmem)
    }
  }

  /// As above, where other rings have the instance as well.
  func refill(
    _ refillRing: RefillRing, _ ring: borrowing URing, _ ledger: ZeroCopyLedger
  ) throws(Errno) {
    guard let first = pool.allocate() else { return }
    var next: Netmem? = consume first
    try ledger.alone { () throws(Errno) in
      while let netmem = next.take() ?? pool.allocate() {
        ledger.release(Int(netmem.offset) / iovByteCount)
        try push(netmem.offset, refillRing, ring)
        put(netmem)
      }
    }
  }

  /// Gives the kernel what rings had that have gone.
  func sweep(
    _ refillRing: RefillRing, _ ring: borrowing URing, _ ledger: ZeroCopyLedger
  ) throws(Errno) {
    try ledger.alone { () throws(Errno) in
      try ledger.sweep { index throws(Errno) in
        try push(UInt64(index * iovByteCount), refillRing, ring)
      }
      // At once: a buffer that the kernel has anyway may be on its way to somebody before long.
      try refillRing.flush(ring)
      ledger.advance()
    }
  }

  private func push(
    _ offset: UInt64, _ refillRing: RefillRing, _ ring: borrowing URing
  ) throws(Errno) {
    try refillRing.push(token: token, offset: offset, byteCount: iovByteCount, ring)
  }

  /// Keeps the ledger, and with it this ring's place, until the last fragment has ended; notes what
  /// is held.
  func share(_ ledger: ZeroCopyLedger) {
    provider.keep(ledger)
    for index in 0..<capacity {
      let isHeld = unsafe buffers[index] == nil
      if isHeld { ledger.hold(index) }
    }
  }

  /// Nobody else gets the memory in this process any more.
  func keepMemory() { _ = unsafe Unmanaged.passRetained(self) }

  /// The carving, for another ring of this process.
  var carving: DMABufCarving { provider.carving }

  /// Which buffer an offset names.
  func index(of offset: UInt64) -> Int {
    Int(truncatingIfNeeded: offset & (1 << 48 - 1)) / iovByteCount
  }
}
