// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemSystem

/// Buffers of a page pool that the kernel picks from (`IORING_REGISTER_PBUF_RING`): each is a
/// ``Netmem`` that lies here under a number while the kernel has it, and is taken out when a
/// completion names that number.
@safe
struct LentBuffers: ~Copyable, @unchecked Sendable {
  /// Of the kernel's `struct io_uring_buf_reg`.
  static var countLimit: Int { 1 << 15 }

  // SAFETY: both have room for `capacity` elements, all initialised; the first `freeCount` numbers
  // are those whose buffer is nil. Freed in deinit: whoever owns this has got the buffers back from
  // the kernel before (`URing.unregisterBuffers`).
  private let buffers: UnsafeMutablePointer<Netmem?>
  private let freeNumbers: UnsafeMutablePointer<UInt16>
  private var freeCount: Int
  /// The ring that the kernel reads, `capacity` entries.
  private let memory: MemoryMapping
  /// Buffers that the kernel may have at once, a power of two.
  let capacity: Int

  deinit {
    unsafe buffers.deinitialize(count: capacity)
    unsafe buffers.deallocate()
    unsafe freeNumbers.deallocate()
  }

  /// Memory for `capacity` buffers, of which there are none yet.
  /// - Precondition: a power of two, at most ``countLimit``.
  init(capacity: Int) throws(Errno) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0 && capacity <= Self.countLimit)
    let page = SystemProcess.pageByteCount
    let byteCount = curing_buffers_byte_count(UInt32(capacity))
    memory = try MemoryMapping.anonymous(byteCount: (byteCount + page - 1) / page * page)
    self.capacity = capacity
    unsafe buffers = .allocate(capacity: capacity)
    unsafe freeNumbers = .allocate(capacity: capacity)
    // Number 0 is the first to be popped.
    for number in 0..<capacity {
      unsafe (buffers + number).initialize(to: nil)
      unsafe (freeNumbers + number).initialize(to: UInt16(capacity - 1 - number))
    }
    freeCount = capacity
  }

  /// Buffers that the kernel has.
  var count: Int { capacity - freeCount }

  /// Lets the ring's requests pick from these, as `group`, until
  /// ``URing/unregisterBuffers(group:)``.
  func register(with ring: borrowing URing, group: UInt16) throws(Errno) {
    try unsafe uring_registerBuffers(
      ring.ring, memory.baseAddress, entryCount: capacity, group: group)
  }

  /// Lends the kernel as many buffers as it has room for and the pool has.
  /// - Returns: false where a buffer has no address for the CPU.
  mutating func refill(from pool: PagePool) -> Bool {
    var added: UInt32 = 0
    var isMapped = true
    while freeCount > 0, let netmem = pool.allocate() {
      guard let address = unsafe netmem.cpuAddress else {
        isMapped = false
        break
      }
      let number = unsafe freeNumbers[freeCount - 1]
      unsafe curing_buffers_add(
        memory.baseAddress, UInt32(capacity), added, address, UInt32(netmem.byteCount), number)
      unsafe buffers[Int(number)] = consume netmem
      freeCount -= 1
      added += 1
    }
    if added > 0 { unsafe curing_buffers_publish(memory.baseAddress, added) }
    return isMapped
  }

  /// Takes the buffer out that a completion names: the kernel has it no longer.
  mutating func take(_ number: UInt16) -> Netmem {
    guard Int(number) < capacity, let netmem = unsafe buffers[Int(number)].take() else {
      fatalError("the kernel named buffer \(number), which it was not lent")
    }
    unsafe freeNumbers[freeCount] = number
    freeCount += 1
    return netmem
  }

  /// Ends all buffers: they are in their pool again.
  /// - Precondition: the kernel picks from them no longer.
  mutating func removeAll() {
    for number in 0..<capacity {
      unsafe buffers[number] = nil
      unsafe freeNumbers[number] = UInt16(capacity - 1 - number)
    }
    freeCount = capacity
  }
}
