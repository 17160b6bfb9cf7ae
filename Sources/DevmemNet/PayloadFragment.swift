// SPDX-License-Identifier: Apache-2.0

public import Devmem

/// A part of a packet's payload: bytes in one buffer (`skb_frag_t`).
///
/// Move-only like the buffer in it, which goes back to its pool when the fragment ends.
public struct PayloadFragment: ~Copyable {
  /// The buffer.
  public let netmem: Netmem
  /// Where in the buffer the bytes begin, 0 ..< `netmem.byteCount`.
  public let offset: Int
  /// How many bytes, 1 ... `netmem.byteCount - offset`.
  public let byteCount: Int

  /// A fragment of `netmem`.
  /// - Precondition: the range lies in the buffer.
  public init(netmem: consuming Netmem, offset: Int, byteCount: Int) {
    precondition(
      offset >= 0 && byteCount >= 0 && byteCount <= netmem.byteCount - offset,
      "fragment outside its buffer")
    self.netmem = netmem
    self.offset = offset
    self.byteCount = byteCount
  }

  /// The buffer alone, e.g. to detach it.
  public consuming func takeNetmem() -> Netmem { netmem }
}
