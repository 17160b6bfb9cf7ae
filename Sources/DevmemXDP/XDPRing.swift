// SPDX-License-Identifier: Apache-2.0

internal import CXDPShims

/// The end of a ring that a program fills: there is no way to take from it.
@safe
struct XDPProducer: ~Copyable, @unchecked Sendable {
  // SAFETY: a ring of an open socket, which outlives this; only this end's counts are written here.
  private let ring: UnsafeMutablePointer<cxdp_ring>

  @unsafe
  init(_ ring: UnsafeMutablePointer<cxdp_ring>) { unsafe self.ring = unsafe ring }

  /// Entries that there is room for: all, or at least `count` if there are so many.
  @inline(__always)
  func room(_ count: Int) -> Int { unsafe Int(cxdp_ring_room(ring, UInt32(count))) }

  /// Puts an entry where there is room. Not seen before ``publish()``.
  @inline(__always)
  func put(_ address: UInt64) { unsafe cxdp_ring_put_address(ring, address) }

  @inline(__always)
  func put(_ descriptor: cxdp_descriptor) { unsafe cxdp_ring_put(ring, descriptor) }

  /// Shows the kernel what was put.
  @inline(__always)
  func publish() { unsafe cxdp_ring_publish(ring) }

  /// Whether the kernel waits to be told.
  @inline(__always)
  var needsWakeup: Bool { unsafe cxdp_ring_needs_wakeup(ring) }
}

/// The end of a ring that a program empties: there is no way to fill it.
@safe
struct XDPConsumer: ~Copyable, @unchecked Sendable {
  // SAFETY: as in XDPProducer.
  private let ring: UnsafeMutablePointer<cxdp_ring>

  @unsafe
  init(_ ring: UnsafeMutablePointer<cxdp_ring>) { unsafe self.ring = unsafe ring }

  /// Entries that can be taken. Looks for new ones, and gives the kernel the places of the old
  /// ones, when all of these have been taken.
  @inline(__always)
  var available: Int { unsafe Int(cxdp_ring_available(ring)) }

  /// Takes an entry that is there.
  @inline(__always)
  func takeAddress() -> UInt64 { unsafe cxdp_ring_take_address(ring) }

  @inline(__always)
  func take() -> cxdp_descriptor { unsafe cxdp_ring_take(ring) }

  /// Gives the kernel the places of all that was taken, now.
  @inline(__always)
  func release() { unsafe cxdp_ring_release(ring) }
}
