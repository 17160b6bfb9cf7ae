// SPDX-License-Identifier: Apache-2.0

/// Where a device finds a buffer, and what kind of number that is.
///
/// A NIC wants a bus address. User space knows the physical address only where
/// `/proc/self/pagemap` may be read (CAP_SYS_ADMIN); elsewhere the honest answer is the offset in
/// the dma-buf, which is also what devmem TCP, RDMA and GPU interfaces take. The type says which of
/// them it is, so that one is never mistaken for the other.
@frozen
public struct DeviceAddress: Hashable, Sendable {
  /// What ``rawValue`` counts from.
  @frozen
  public enum Kind: UInt8, Hashable, Sendable {
    /// A physical address, as /proc/self/pagemap gives it. Without an IOMMU, the bus address.
    case physical
    /// An offset in bytes from the start of the dma-buf.
    case bufferOffset
    /// A virtual address of this process: host pages whose physical address may not be read.
    case virtual
  }

  /// The address in bytes.
  public let rawValue: UInt64
  /// What the address counts from.
  public let kind: Kind

  /// An address of the given kind.
  @inlinable
  public init(_ rawValue: UInt64, kind: Kind) {
    self.rawValue = rawValue
    self.kind = kind
  }

  /// The address `byteCount` bytes further on, of the same kind. Wraps at 2^64.
  @inlinable
  public func advanced(by byteCount: Int) -> DeviceAddress {
    DeviceAddress(rawValue &+ UInt64(truncatingIfNeeded: byteCount), kind: kind)
  }
}

extension DeviceAddress: CustomStringConvertible {
  /// The kind and the address in hexadecimal, e.g. `physical:0x1f4000`.
  public var description: String { "\(kind):0x\(String(rawValue, radix: 16))" }
}
