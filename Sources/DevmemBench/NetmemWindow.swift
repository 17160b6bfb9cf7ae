// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// Room for buffers that are held at the same time, as a receive ring holds them.
@safe
struct NetmemWindow: ~Copyable {
  // SAFETY: room for `capacity` buffers, all uninitialised outside of fill ... drain.
  private let storage: UnsafeMutablePointer<Netmem>
  let capacity: Int

  deinit { unsafe storage.deallocate() }

  /// - Parameter capacity: a multiple of 4.
  init(capacity: Int) {
    precondition(capacity > 0 && capacity % 4 == 0, "a multiple of 4")
    unsafe storage = .allocate(capacity: capacity)
    self.capacity = capacity
  }

  /// Allocates until every place is taken. False, and nothing kept, when the pool ran out.
  ///
  /// Four at a time, as a driver's refill loop is unrolled: a loop's own instructions would
  /// otherwise be a tenth of what is counted.
  @inline(__always)
  func fill(from pool: PagePool) -> Bool {
    var next = unsafe storage
    let end = unsafe storage + capacity
    while unsafe next < end {
      guard unsafe put(pool.allocate(), next), unsafe put(pool.allocate(), next + 1),
        unsafe put(pool.allocate(), next + 2), unsafe put(pool.allocate(), next + 3)
      else { fatalError("a pool of fewer buffers than the window has places") }
      unsafe next += 4
    }
    return true
  }

  @inline(__always)
  private func put(
    _ netmem: consuming Netmem?, _ place: UnsafeMutablePointer<Netmem>
  ) -> Bool {
    guard let netmem else { return false }
    unsafe place.initialize(to: netmem)
    return true
  }

  /// Gives every buffer back, first to last.
  @inline(__always)
  func drain() {
    var next = unsafe storage
    let end = unsafe storage + capacity
    while unsafe next < end {
      _ = unsafe next.move()
      _ = unsafe (next + 1).move()
      _ = unsafe (next + 2).move()
      _ = unsafe (next + 3).move()
      unsafe next += 4
    }
  }
}
