// SPDX-License-Identifier: Apache-2.0

public import Devmem

/// A part of a packet's payload: bytes in one buffer (`skb_frag_t`).
///
/// Move-only: when the fragment ends, on any thread, its buffer goes back to where it came from.
/// That is a page pool, or, for a fragment of device memory TCP, the kernel's page pool of the
/// receive queue, by way of its socket.
public struct PayloadFragment: ~Copyable, Sendable {
  /// How the bytes came to where they are.
  public enum Placement: Hashable, Sendable {
    /// A socket call put them into a buffer of the payload pool.
    case pool
    /// The network card put them into the dma-buf that is bound to its receive queue
    /// (`SO_DEVMEM_DMABUF`).
    case device
    /// They came outside of the bound memory, and a socket call put them into a buffer of host
    /// memory (`SO_DEVMEM_LINEAR`, or a flow that does not reach a bound queue).
    case linear
  }

  enum Storage: ~Copyable, Sendable {
    case netmem(Netmem)
    case device(KernelFragment)
  }

  let storage: Storage
  let isLinear: Bool
  /// Where the bytes begin: in the pool's buffer, `0 ..< netmem.byteCount`; for
  /// ``Placement/device``, from the start of the dma-buf.
  let start: Int
  /// How many bytes.
  public let byteCount: Int

  /// A fragment of `netmem`, from that byte of the buffer on.
  /// - Precondition: the range lies in the buffer.
  public init(netmem: consuming Netmem, offsetInIOV: Int, byteCount: Int) {
    Self.check(netmem, offsetInIOV, byteCount)
    self.init(storage: .netmem(netmem), start: offsetInIOV, byteCount: byteCount)
  }

  /// A fragment of bytes that came outside of the bound memory.
  init(linear netmem: consuming Netmem, offsetInIOV: Int, byteCount: Int) {
    Self.check(netmem, offsetInIOV, byteCount)
    self.init(
      storage: .netmem(netmem), isLinear: true, start: offsetInIOV, byteCount: byteCount)
  }

  init(storage: consuming Storage, isLinear: Bool = false, start: Int, byteCount: Int) {
    self.storage = storage
    self.isLinear = isLinear
    self.start = start
    self.byteCount = byteCount
  }

  private static func check(_ netmem: borrowing Netmem, _ offset: Int, _ byteCount: Int) {
    precondition(
      offset >= 0 && byteCount >= 0 && byteCount <= netmem.byteCount - offset,
      "fragment outside its buffer")
  }

  consuming func takeStorage() -> Storage { storage }

  /// The pool's buffer alone, e.g. to detach it; nil for ``Placement/device``, whose memory is the
  /// kernel's to hand out, and goes back to it by this call.
  public consuming func takeNetmem() -> Netmem? {
    switch consume storage {
    case .netmem(let netmem): netmem
    case .device: nil
    }
  }
}
