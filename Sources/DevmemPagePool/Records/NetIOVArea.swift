// SPDX-License-Identifier: Apache-2.0

/// A run of IOVs that lie one behind the other in device memory (`struct net_iov_area`).
///
/// Everything that the IOVs of a run have in common stands here once, so that an IOV's own record
/// (``NetIOV``) stays small: offset, address and CPU address are arithmetic on its index.
/// Mirrors `net_iov_area` in include/net/netmem.h and the fields that
/// `dmabuf_genpool_chunk_owner` adds to it in net/core/devmem.h. Immutable once its slab is made.
@frozen
@safe
public struct NetIOVArea: @unchecked Sendable {
  // SAFETY: every pointer here is kept valid by the slab that holds the area: `records` is the
  // slab's own storage, `cpuBase` and `access` belong to the object in `NetIOVSlab.backing`.
  @usableFromInline let records: UnsafeMutablePointer<NetIOV>
  /// Offset of the first IOV from the start of the buffer, in bytes (`base_virtual`).
  public let baseVirtual: UInt64
  @usableFromInline let baseAddressValue: UInt64
  @usableFromInline let cpuBase: UnsafeMutableRawPointer?
  @usableFromInline let access: UnsafeMutablePointer<CPUAccessState>?
  /// Position of the first IOV in its slab.
  package let firstIndex: UInt32
  /// Number of IOVs (`num_niovs`).
  public let iovCount: UInt32
  @usableFromInline let nodeValue: Int32
  /// log2 of the IOV size in bytes.
  @usableFromInline package let iovShift: UInt8
  /// Host pages or device memory.
  public let kind: Netmem.Kind
  @usableFromInline let addressKind: DeviceAddress.Kind
  /// A number of the provider's own choosing, e.g. which chunk of its allocator this run is.
  public let context: UInt64

  /// Size of each IOV in bytes, a power of two.
  @inlinable public var iovByteCount: Int { 1 &<< Int(iovShift) }
  /// The device address of the first IOV (`base_dma_addr`).
  @inlinable public var baseAddress: DeviceAddress {
    DeviceAddress(baseAddressValue, kind: addressKind)
  }
  /// The NUMA node of the memory, or nil where it is not known.
  @inlinable public var node: Int? { nodeValue < 0 ? nil : Int(nodeValue) }
  /// Whether the CPU can read the memory at all.
  @inlinable public var hasCPUMapping: Bool { unsafe cpuBase != nil }
}

extension NetIOVArea {
  /// What a provider says of a run of IOVs when it makes a ``NetIOVSlab``.
  @safe
  public struct Layout {
    /// Offset of the first IOV from the start of the buffer, in bytes.
    public var baseVirtual: UInt64
    /// Device address of the first IOV.
    public var baseAddress: DeviceAddress
    /// Number of IOVs, 1 or more.
    public var iovCount: Int
    /// Host pages or device memory.
    public var kind: Netmem.Kind
    /// NUMA node, nil when not known.
    public var node: Int?
    /// The provider's own number for the run.
    public var context: UInt64
    /// CPU address of the first IOV, nil when the CPU cannot read the memory.
    @unsafe public var cpuBase: UnsafeMutableRawPointer?
    /// Where the buffer counts its CPU access brackets; nil when none is needed (host pages).
    @unsafe public var access: UnsafeMutablePointer<CPUAccessState>?

    /// A run of IOVs that the CPU cannot reach: nothing here reads or writes the memory, so the
    /// addresses may be anything.
    public init(
      baseVirtual: UInt64, baseAddress: DeviceAddress, iovCount: Int, kind: Netmem.Kind,
      node: Int? = nil, context: UInt64 = 0
    ) {
      unsafe self.init(
        baseVirtual: baseVirtual, baseAddress: baseAddress, iovCount: iovCount, kind: kind,
        node: node, context: context, cpuBase: nil)
    }

    /// A run of IOVs.
    ///
    /// - Safety: `cpuBase` must be valid for `iovCount` IOVs, and `access` for reading, for as
    ///   long as the slab's `backing` object lives.
    @unsafe
    public init(
      baseVirtual: UInt64, baseAddress: DeviceAddress, iovCount: Int, kind: Netmem.Kind,
      node: Int? = nil, context: UInt64 = 0, cpuBase: UnsafeMutableRawPointer?,
      access: UnsafeMutablePointer<CPUAccessState>? = nil
    ) {
      self.baseVirtual = baseVirtual
      self.baseAddress = baseAddress
      self.iovCount = iovCount
      self.kind = kind
      self.node = node
      self.context = context
      unsafe self.cpuBase = cpuBase
      unsafe self.access = access
    }
  }
}
