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
  /// An answer.
  public enum Verdict: Hashable, Sendable {
    /// The interface passes all checks that can be made without a binding.
    case able
    /// It lacks something; what is most basic stands first.
    case unable([Lack])
    /// It could not be asked; why, and what to do.
    case unknown(reason: String, remedy: String)
  }

  /// Something that an interface does not have.
  public struct Lack: Hashable, Sendable {
    /// The ability, in a few words: "queue management by the driver".
    public let ability: String
    /// What would provide it.
    public let remedy: String

    /// Describes a lack.
    package init(_ ability: String, remedy: String) {
      self.ability = ability
      self.remedy = remedy
    }
  }

  /// The interface.
  public let interface: NetworkInterface
  /// The driver's name; nil where it tells none.
  package let driver: String?
  /// Whether dma-bufs could be bound to its receive queues.
  public let receive: Verdict
  /// Whether it could send from dma-bufs.
  public let transmit: Verdict
  /// The rings and the split as they are; nil where the driver has no such settings.
  package let rings: RingSettings?
  /// The channels; nil where the driver does not tell.
  package let channels: ChannelSettings?
  /// The queues with their bindings; empty while the interface is down.
  package let queues: [NetdevQueue]

  /// Describes an interface.
  package init(
    interface: NetworkInterface, driver: String? = nil, receive: Verdict, transmit: Verdict,
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
    var abilities: [NICCapabilities] = []
    for index in try netdev.devices().map(\.interfaceIndex).sorted() {
      // One that went away meanwhile is no interface of this machine any more.
      do throws(DevmemError) {
        abilities.append(NICCapabilities(of: try NetworkInterface(index: index), &netdev, &ethtool))
      } catch {
        guard error.code == .interfaceMissing else { throw error }
      }
    }
    return abilities
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
      receive: Self.verdict { () throws(DevmemError) in
        try Self.receiveLacks(interface, &netdev, &ethtool)
      },
      transmit: Self.verdict { () throws(DevmemError) in
        try Self.transmitLacks(interface, &netdev)
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
      try receiveLacks(interface, &netdev, &ethtool), .receiveUnsupported,
      "receiving into device memory by \(interface)", interface)
  }

  /// Does nothing where an interface could send from device memory.
  ///
  /// - Throws: ``DevmemError/Code/transmitUnsupported``, which names what is missing and what would
  ///   provide it; ``DevmemError/Code/interfaceMissing``.
  package static func requireTransmit(on interface: NetworkInterface) throws(DevmemError) {
    var netdev = try NetdevFamily()
    try require(
      try transmitLacks(interface, &netdev), .transmitUnsupported,
      "sending from device memory by \(interface)", interface)
  }

  private static func require(
    _ lacks: [Lack], _ code: DevmemError.Code, _ operation: String,
    _ interface: NetworkInterface
  ) throws(DevmemError) {
    guard let first = lacks.first else { return }
    let abilities = lacks.map(\.ability).joined(separator: ", ")
    throw DevmemError(
      code, operation, interface: interface, underlying: .EOPNOTSUPP,
      remedy: "\(interface) lacks \(abilities). \(first.remedy)")
  }

  private static func verdict(_ lacks: () throws(DevmemError) -> [Lack]) -> Verdict {
    do throws(DevmemError) {
      let lacks = try lacks()
      return lacks.isEmpty ? .able : .unable(lacks)
    } catch {
      return .unknown(
        reason: error.underlying.map(\.text) ?? error.code.rawValue,
        remedy: error.remedy ?? "Look at the kernel's log: dmesg | tail")
    }
  }

  /// A descriptor that no process has (the limit is below, see fs.nr_open).
  private static let noDescriptor = Int32.max

  private static func receiveLacks(
    _ interface: NetworkInterface, _ netdev: inout NetdevFamily, _ ethtool: inout EthtoolFamily
  ) throws(DevmemError) -> [Lack] {
    var lacks: [Lack] = []
    let error = refusal { () throws(DevmemError) in
      try netdev.bindReceive(noDescriptor, interface: interface, queues: [0])
    }
    switch error?.underlying {
    // The device has passed, the descriptor has not.
    case .EBADF: break
    case .EOPNOTSUPP where error?.code == .kernelUnsupported:
      lacks.append(Lack("bind-rx in the kernel", remedy: DevmemError.newerKernelRemedy))
    case .EOPNOTSUPP where error?.cause?.contains("DMA") == true:
      lacks.append(Lack("DMA by the device", remedy: DevmemError.capableDevices))
    case .EOPNOTSUPP:
      lacks.append(
        Lack(
          "queue management by the driver (netdev_queue_mgmt_ops)",
          remedy: DevmemError.capableDevices))
    default: if let error { throw error }
    }
    let rings = try known { () throws(DevmemError) in try ethtool.rings(of: interface) }
    if rings?.dataSplit == nil && rings?.headerSplitThreshold == nil {
      lacks.append(
        Lack("header/data split (tcp-data-split)", remedy: DevmemError.capableDevices))
    }
    let channels = try known { () throws(DevmemError) in try ethtool.channels(of: interface) }
    if let channels, max(channels.maximum.receiveQueueCount, channels.current.receiveQueueCount) < 2
    {
      lacks.append(
        Lack(
          "a second receive queue, for other traffic",
          remedy: "More queues: the virtual machine's host or the card's firmware gives them."))
    }
    return lacks
  }

  private static func transmitLacks(
    _ interface: NetworkInterface, _ netdev: inout NetdevFamily
  ) throws(DevmemError) -> [Lack] {
    let error = refusal { () throws(DevmemError) in
      try netdev.bindTransmit(noDescriptor, interface: interface)
    }
    switch error?.underlying {
    case .EBADF: return []
    case .EOPNOTSUPP where error?.code == .kernelUnsupported:
      return [Lack("bind-tx in the kernel", remedy: DevmemError.newerKernelRemedy)]
    case .EOPNOTSUPP:
      return [
        Lack(
          "sending from device memory by the driver (netmem_tx)",
          remedy: DevmemError.capableDevices)
      ]
    default:
      if let error { throw error }
      return []
    }
  }

  /// nil where the driver has no such settings.
  private static func known<Settings>(
    _ settings: () throws(DevmemError) -> Settings
  ) throws(DevmemError) -> Settings? {
    do throws(DevmemError) {
      return try settings()
    } catch {
      guard error.code == .settingUnsupported else { throw error }
      return nil
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
