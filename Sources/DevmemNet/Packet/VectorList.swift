// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

/// The pieces of memory for one scatter or gather call (`struct iovec`), in memory that is
/// allocated once.
@safe
struct VectorList: ~Copyable {
  /// UIO_MAXIOV of include/uapi/linux/uio.h.
  static var limit: Int { 1024 }

  // SAFETY: `storage` is allocated in init for `capacity` trivial elements, of which the first
  // `count` are initialised; `spare` is one byte. Both are freed in deinit. The addresses in the
  // elements are of buffers that whoever fills the list holds until it is emptied again.
  private let storage: UnsafeMutablePointer<IOVector>
  private let spare: UnsafeMutableRawPointer
  private let capacity: Int
  private(set) var count = 0
  private(set) var byteCount = 0
  private var first = 0

  deinit {
    unsafe storage.deallocate()
    unsafe spare.deallocate()
  }

  init(capacity: Int) {
    precondition(capacity > 0 && capacity <= Self.limit, "vector capacity out of range")
    self.capacity = capacity
    unsafe storage = .allocate(capacity: capacity)
    unsafe spare = .allocate(byteCount: 1, alignment: 1)
  }

  mutating func removeAll() {
    first = 0
    count = 0
    byteCount = 0
  }

  /// Adds `byteCount` bytes at `base + offset`.
  /// - Safety: the memory has to stay valid until the list is emptied.
  @unsafe
  mutating func append(base: UnsafeMutableRawPointer?, offset: Int, byteCount: Int) {
    precondition(first + count < capacity, "vector list is full")
    guard let base = unsafe base else { preconditionFailure("no CPU address") }
    unsafe (storage + first + count).initialize(
      to: IOVector(baseAddress: base + offset, byteCount: byteCount))
    count += 1
    self.byteCount += byteCount
  }

  /// Adds `byteCount` bytes at an offset of a dma-buf, which stands where an address does.
  mutating func append(bufferOffset: UInt64, byteCount: Int) {
    precondition(first + count < capacity, "vector list is full")
    let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(bufferOffset))
    unsafe (storage + first + count).initialize(
      to: IOVector(baseAddress: base, byteCount: byteCount))
    count += 1
    self.byteCount += byteCount
  }

  /// Adds one byte of the list's own.
  mutating func appendSpare() { unsafe append(base: spare, offset: 0, byteCount: 1) }

  /// Takes away the `byteCount` bytes at the front that a partial send has sent.
  mutating func dropFirst(byteCount sent: Int) {
    precondition(sent <= byteCount, "more sent than there was")
    byteCount -= sent
    var rest = sent
    while rest > 0 {
      let vector = unsafe storage[first]
      if rest < vector.byteCount {
        unsafe storage[first] = IOVector(
          baseAddress: vector.baseAddress.unsafelyUnwrapped + rest,
          byteCount: vector.byteCount - rest)
        return
      }
      rest -= vector.byteCount
      first += 1
      count -= 1
    }
  }

  /// The elements, valid until the list changes.
  @unsafe
  var elements: UnsafeBufferPointer<IOVector> {
    unsafe UnsafeBufferPointer(start: storage + first, count: count)
  }
}
