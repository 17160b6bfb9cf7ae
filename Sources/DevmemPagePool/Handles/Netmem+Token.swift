// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension Netmem {
  /// Turns the handle into 64 bits for a ring; the buffer stays out of its pool until
  /// ``PagePool/reclaim(_:)`` of its pool takes the token.
  ///
  /// A buffer of which another reference is detached already gets a token by serial number from a
  /// side table of the process (under a lock). Any thread may call it on a handle that it holds.
  @inlinable
  public consuming func detach() -> NetmemToken {
    let record = unsafe forget()
    let generation = unsafe record.pointee.generation.load(ordering: .relaxed)
    guard generation & 1 == 0,
      unsafe record.pointee.generation.compareExchange(
        expected: generation, desired: generation &+ 1, ordering: .releasing
      ).exchanged
    else { return unsafe PagePool.State.detachShared(record) }
    return unsafe NetmemToken(index: record.pointee.index, generation: generation &+ 1)
  }
}
