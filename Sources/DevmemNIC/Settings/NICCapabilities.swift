// SPDX-License-Identifier: Apache-2.0

public import Devmem
internal import DevmemSystem

/// Whether a network interface could receive and send by device memory TCP, found out without
/// changing anything.
///
/// The kernel has no call that tells. But bind-rx and bind-tx check in a fixed order: called with a
/// descriptor that is no dma-buf, they refuse an interface that cannot do it before they refuse the
/// descriptor. What they check after that (whether the driver's page pools take memory that the CPU
/// cannot read) shows only in a real binding.
public struct NICCapabilities: Hashable, Sendable {
  /// Whether an interface can do something.
  public enum Support: Hashable, Sendable {
    /// The interface passes all checks that can be made without a binding.
    case supported
    /// It does not; what is missing, most basic first.
    case unsupported([MissingCapability])
    /// It could not be asked; why, and what to do.
    case unknown(reason: String, remedy: String)
  }

  /// Something that an interface does not have.
  public struct MissingCapability: Hashable, Sendable {
    /// The capability, in a few words: "queue management by the driver".
    public let capability: String
    /// What would provide it.
    public let remedy: String

    /// Describes a missing capability.
    package init(_ capability: String, remedy: String) {
      self.capability = capability
      self.remedy = remedy
    }
  }

  /// The interface.
  public let interface: NetworkInterface
  /// The driver's name; nil where it tells none.
  package let driver: String?
  /// Whether dma-bufs could be bound to its receive queues.
  public let receive: Support
  /// Whether it could send from dma-bufs.
  public let transmit: Support
  /// The rings and the split as they are; nil where the driver has no such settings.
  package let rings: RingSettings?
  /// The channels; nil where the driver does not tell.
  package let channels: ChannelSettings?
  /// The queues with their bindings; empty while the interface is down.
  package let queues: [NetdevQueue]

  /// Describes an interface.
  package init(
    interface: NetworkInterface, driver: String? = nil, receive: Support, transmit: Support,
    rings: RingSettings? = nil, channels: ChannelSettings? = nil, queues: [NetdevQueue] = []
  ) {
    self.interface = interface
    self.driver = driver
    self.receive = receive
    self.transmit = transmit
    self.rings = rings
    self.channels = channels
    self.queues = queues
  }

  /// All interfaces of this network namespace, by number.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.kernelUnsupported`, `.descriptorLimit`.
  public static func all() throws(DevmemError) -> [NICCapabilities] {
    var netdev = try NetdevFamily()
    var ethtool = try EthtoolFamily()
    var all: [NICCapabilities] = []
    for index in try netdev.devices().map(\.interfaceIndex).sorted() {
      // One that went away meanwhile is no interface of this machine any more.
      do throws(DevmemError) {
        all.append(NICCapabilities(of: try NetworkInterface(index: index), &netdev, &ethtool))
      } catch {
        guard error.code == .interfaceMissing else { throw error }
      }
    }
    return all
  }

  /// One interface.
  ///
  /// - Throws: as ``all()``.
  public init(of interface: NetworkInterface) throws(DevmemError) {
    var netdev = try NetdevFamily()
    var ethtool = try EthtoolFamily()
    self.init(of: interface, &netdev, &ethtool)
  }

  private init(
    of interface: NetworkInterface, _ netdev: inout NetdevFamily, _ ethtool: inout EthtoolFamily
  ) {
    self.init(
      interface: interface, driver: (try? ethtool.driver(of: interface)) ?? nil,
      receive: Self.support { () throws(DevmemError) in
        try Self.missingForReceive(interface, &netdev, &ethtool)
      },
      transmit: Self.support { () throws(DevmemError) in
        try Self.missingForTransmit(interface, &netdev)
      },
      // A question that the driver has no answer to is nil, whatever the errno.
      rings: try? ethtool.rings(of: interface), channels: try? ethtool.channels(of: interface),
      queues: (try? netdev.queues(of: interface)) ?? [])
  }

  /// Does nothing where an interface could receive into device memory.
  ///
  /// - Throws: ``DevmemError/Code/receiveUnsupported``, which names what is missing and what would
  ///   provide it; ``DevmemError/Code/permissionDenied``; ``DevmemError/Code/interfaceMissing``.
  package static func requireReceive(on interface: NetworkInterface) throws(DevmemError) {
    var netdev = try NetdevFamily()
    var ethtool = try EthtoolFamily()
    try requireReceive(on: interface, &netdev, &ethtool)
  }

  /// As ``requireReceive(on:)``, for who has the families open.
  static func requireReceive(
    on interface: NetworkInterface, _ netdev: inout NetdevFamily, _ ethtool: inout EthtoolFamily
  ) throws(DevmemError) {
    try require(
      try missingForReceive(interface, &netdev, &ethtool), .receiveUnsupported,
      "receiving into device memory by \(interface)", interface)
  }

  /// Does nothing where an interface could send from device memory.
  ///
  /// - Throws: ``DevmemError/Code/transmitUnsupported``, which names what is missing and what would
  ///   provide it; ``DevmemError/Code/interfaceMissing``.
  package static func requireTransmit(on interface: NetworkInterface) throws(DevmemError) {
    var netdev = try NetdevFamily()
    try require(
      try missingForTransmit(interface, &netdev), .transmitUnsupported,
      "sending from device memory by \(interface)", interface)
  }

  private static func require(
    _ missing: [MissingCapability], _ code: DevmemError.Code, _ operation: String,
    _ interface: NetworkInterface
  ) throws(DevmemError) {
    guard let first = missing.first else { return }
    let names = missing.map(\.capability).joined(separator: ", ")
    throw DevmemError(
      code, operation, interface: interface, underlying: .EOPNOTSUPP,
      remedy: "\(interface) lacks \(names). \(first.remedy)")
  }

  private static func support(_ missing: () throws(DevmemError) -> [MissingCapability]) -> Support {
    do throws(DevmemError) {
      let missing = try missing()
      return missing.isEmpty ? .supported : .unsupported(missing)
    } catch {
      return .unknown(
        reason: error.underlying.map(\.text) ?? error.code.rawValue,
        remedy: error.remedy ?? "Look at the kernel's log: dmesg | tail")
    }
  }

  /// A descriptor that no process has (the limit is below, see fs.nr_open).
  private static let noDescriptor = Int32.max

  private static func missingForReceive(
    _ interface: NetworkInterface, _ netdev: inout NetdevFamily, _ ethtool: inout EthtoolFamily
  ) throws(DevmemError) -> [MissingCapability] {
    var missing: [MissingCapability] = []
    let error = refusal { () throws(DevmemError) in
      try netdev.bindReceive(noDescriptor, interface: interface, queues: [0])
    }
    switch error?.underlying {
    // The device has passed, the descriptor has not.
    case .EBADF: break
    case .EOPNOTSUPP where error?.code == .kernelUnsupported:
      missing.append(
        MissingCapability("bind-rx in the kernel", remedy: DevmemError.newerKernelRemedy))
    case .EOPNOTSUPP where error?.cause?.contains("DMA") == true:
      missing.append(MissingCapability("DMA by the device", remedy: DevmemError.capableDevices))
    case .EOPNOTSUPP:
      missing.append(
        MissingCapability(
          "queue management by the driver (netdev_queue_mgmt_ops)",
          remedy: DevmemError.capableDevices))
    default: if let error { throw error }
    }
    let rings = try known { () throws(DevmemError) in try ethtool.rings(of: interface) }
    if rings?.dataSplit == nil && rings?.headerSplitThreshold == nil {
      missing.append(
        MissingCapability("header/data split (tcp-data-split)", remedy: DevmemError.capableDevices))
    }
    let channels = try known { () throws(DevmemError) in try ethtool.channels(of: interface) }
    if let channels, max(channels.maximum.receiveQueueCount, channels.current.receiveQueueCount) < 2
    {
      missing.append(
        MissingCapability(
          "a second receive queue, for other traffic",
          remedy: "More queues: the virtual machine's host or the card's firmware gives them."))
    }
    return missing
  }

  private static func missingForTransmit(
    _ interface: NetworkInterface, _ netdev: inout NetdevFamily
  ) throws(DevmemError) -> [MissingCapability] {
    let error = refusal { () throws(DevmemError) in
      try netdev.bindTransmit(noDescriptor, interface: interface)
    }
    switch error?.underlying {
    case .EBADF: return []
    case .EOPNOTSUPP where error?.code == .kernelUnsupported:
      return [MissingCapability("bind-tx in the kernel", remedy: DevmemError.newerKernelRemedy)]
    case .EOPNOTSUPP:
      return [
        MissingCapability(
          "sending from device memory by the driver (netmem_tx)",
          remedy: DevmemError.capableDevices)
      ]
    default:
      if let error { throw error }
      return []
    }
  }

  private static func refusal(
    _ bind: () throws(DevmemError) -> UInt32
  ) -> DevmemError? {
    do throws(DevmemError) {
      _ = try bind()
      return nil
    } catch {
      return error
    }
  }
}
