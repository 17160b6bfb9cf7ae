// SPDX-License-Identifier: Apache-2.0

internal import Devmem

/// The buffers that the kernel has from one socket: each lies here under the number of the chunk
/// that it is lent as, and is taken out when a ring names that.
@safe
struct LentChunks: ~Copyable, @unchecked Sendable {
  // SAFETY: room for `capacity` elements, all initialised; freed in deinit.
  private let buffers: UnsafeMutablePointer<Netmem?>
  private let capacity: Int
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  private let shift: Int
  private(set) var count = 0

  deinit {
    unsafe buffers.deinitialize(count: capacity)
    unsafe buffers.deallocate()
  }

  init(of memory: UMEM) {
    capacity = memory.chunkCount
    unsafe buffers = .allocate(capacity: capacity)
    for number in 0..<capacity { unsafe (buffers + number).initialize(to: nil) }
    unsafe base = memory.bytes.baseAddress.unsafelyUnwrapped
    byteCount = memory.byteCount
    shift = memory.chunkShift
  }

  /// Where a buffer begins in the memory; nil if that is not at the beginning of a chunk that it
  /// has whole.
  @inline(__always)
  func address(of netmem: borrowing Netmem) -> Int? {
    guard let address = unsafe netmem.cpuAddress else { return nil }
    let offset = unsafe address - base
    let chunk = 1 << shift
    guard offset >= 0, offset < byteCount, offset & (chunk - 1) == 0, netmem.byteCount >= chunk
    else { return nil }
    return offset
  }

  /// Keeps a buffer for the kernel.
  @inline(__always)
  mutating func put(_ netmem: consuming Netmem, at address: Int) {
    unsafe buffers[address >> shift] = consume netmem
    count += 1
  }

  /// Takes a buffer back that a ring names by an address in its chunk.
  @inline(__always)
  mutating func take(_ address: UInt64) -> Netmem {
    let number = Int(truncatingIfNeeded: address >> UInt64(shift))
    guard number < capacity, let netmem = unsafe buffers[number].take() else {
      fatalError("AF_XDP named address \(address), where it was lent nothing")
    }
    count -= 1
    return netmem
  }

  /// Bytes from the chunk's beginning to an address.
  @inline(__always)
  func start(_ address: UInt64) -> Int { Int(address & UInt64((1 << shift) - 1)) }
}
