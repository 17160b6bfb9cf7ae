// SPDX-License-Identifier: Apache-2.0

import Devmem

/// Up to `capacity` fragments, first in first out, in memory that is allocated once: packets reuse
/// it, so that receiving allocates nothing.
@safe
struct FragmentList: ~Copyable, @unchecked Sendable {
  // SAFETY: allocated in init for `capacity` elements; exactly those in `first ..< end` are
  // initialised, 0 <= first <= end <= capacity. Freed in deinit, never handed out.
  private let storage: UnsafeMutablePointer<PayloadFragment>
  let capacity: Int
  private var first = 0
  private var end = 0

  deinit {
    unsafe (storage + first).deinitialize(count: end - first)
    unsafe storage.deallocate()
  }

  init(capacity: Int) {
    precondition(capacity >= 0, "negative capacity")
    self.capacity = capacity
    unsafe storage = .allocate(capacity: max(capacity, 1))
  }

  var count: Int { end - first }
  var isEmpty: Bool { first == end }
  var isFull: Bool { count == capacity }

  /// Appends.
  /// - Precondition: not full.
  mutating func append(_ fragment: consuming PayloadFragment) {
    precondition(!isFull, "fragment list is full")
    if end == capacity {
      // What was taken from the front left its room there.
      unsafe storage.moveInitialize(from: storage + first, count: count)
      end = count
      first = 0
    }
    unsafe (storage + end).initialize(to: fragment)
    end += 1
  }

  mutating func popFirst() -> PayloadFragment? {
    guard !isEmpty else { return nil }
    let fragment = unsafe (storage + first).move()
    first += 1
    if isEmpty { rewind() }
    return fragment
  }

  mutating func popLast() -> PayloadFragment? {
    guard !isEmpty else { return nil }
    end -= 1
    let fragment = unsafe (storage + end).move()
    if isEmpty { rewind() }
    return fragment
  }

  /// Makes the last fragment, which is a whole buffer like all others, end where the payload does.
  mutating func trimLast(to payloadByteCount: Int) {
    guard let last = popLast() else { return }
    let byteCount = payloadByteCount - count * last.byteCount
    let storage = last.takeStorage()
    append(PayloadFragment(storage: storage, start: 0, byteCount: byteCount))
  }

  /// Ends all fragments: their buffers go back to their pools.
  mutating func removeAll() {
    unsafe (storage + first).deinitialize(count: end - first)
    rewind()
  }

  func withFragment<Result: ~Copyable, Failure: Error>(
    at position: Int, _ body: (borrowing PayloadFragment) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(position >= 0 && position < count, "fragment position outside the packet")
    return try unsafe body(storage[first + position])
  }

  private mutating func rewind() {
    first = 0
    end = 0
  }
}
