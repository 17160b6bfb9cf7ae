// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

/// Host buffers that are posted for what does not come in device memory, and how their bytes are
/// cut into fragments. Buffers stay posted until bytes have come into them, so that a flow that is
/// all device memory posts them once.
struct LinearWindow: ~Copyable {
  private let pool: PagePool
  private let byteCount: Int
  private let iovByteCount: Int
  private var posted: FragmentList
  private(set) var vectors: VectorList
  /// The buffer that is being cut, its bytes that are taken, and whether a fragment shares it.
  private var current: Netmem?
  private var used = 0

  /// - Parameter byteCount: bytes to post, 1 or more.
  init(pool: PagePool, byteCount: Int) {
    self.pool = pool
    self.byteCount = byteCount
    iovByteCount = pool.iovByteCount
    let count = Self.bufferCount(pool, byteCount)
    posted = FragmentList(capacity: count)
    vectors = VectorList(capacity: count)
  }

  /// Buffers that `byteCount` bytes need.
  static func bufferCount(_ pool: PagePool, _ byteCount: Int) -> Int {
    (byteCount + pool.iovByteCount - 1) / pool.iovByteCount
  }

  /// Posts as many buffers as the pool has, at most `byteCount` bytes. False when there is none at
  /// all.
  mutating func post() -> Bool {
    guard !posted.isFull else { return true }
    while !posted.isFull, let netmem = pool.allocate() {
      posted.append(PayloadFragment(linear: netmem, offsetInIOV: 0, byteCount: iovByteCount))
    }
    vectors.removeAll()
    var rest = byteCount
    for position in 0..<posted.count {
      let count = min(rest, iovByteCount)
      unsafe vectors.append(
        base: posted.withFragment(at: position) { unsafe $0.cpuAddress }, offset: 0,
        byteCount: count)
      rest -= count
    }
    return !posted.isEmpty
  }

  /// Moves the next `byteCount` linear bytes into `fragments`.
  mutating func cut(_ byteCount: Int, into fragments: inout FragmentList) {
    var rest = byteCount
    while rest > 0 {
      if current == nil {
        current = posted.popFirst()?.takeNetmem()
        used = 0
      }
      guard let netmem = current.take() else { preconditionFailure("more bytes than were posted") }
      let count = min(rest, iovByteCount - used)
      if used + count == iovByteCount {
        fragments.append(PayloadFragment(linear: netmem, offsetInIOV: used, byteCount: count))
      } else {
        fragments.append(
          PayloadFragment(linear: netmem.share(), offsetInIOV: used, byteCount: count))
        used += count
        current = consume netmem
      }
      rest -= count
    }
  }

  /// The call's bytes are cut: what is left of a buffer is not used for others.
  mutating func finishCutting() { current = nil }

  /// Returns the buffers to their pool.
  mutating func removeAll() {
    current = nil
    posted.removeAll()
    vectors.removeAll()
  }
}
