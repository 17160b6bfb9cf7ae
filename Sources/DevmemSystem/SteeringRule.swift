// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A rule of a network card that steers a flow to a receive queue (an n-tuple filter; `struct
/// ethtool_rx_flow_spec`, include/uapi/linux/ethtool.h).
public struct SteeringRule: Hashable, Sendable {
  /// What flows are looked at.
  public enum Transport: UInt32, Hashable, Sendable {
    /// TCP_V4_FLOW
    case tcp4 = 1
    /// UDP_V4_FLOW
    case udp4 = 2
    /// TCP_V6_FLOW
    case tcp6 = 5
    /// UDP_V6_FLOW
    case udp6 = 6
  }

  /// One end of a flow; what is nil is not looked at.
  public struct Endpoint: Hashable, Sendable {
    /// The address, of the rule's family.
    package var address: IPAddress?
    /// The port.
    package var port: UInt16?

    /// Any, unless said otherwise.
    public init(address: IPAddress? = nil, port: UInt16? = nil) {
      self.address = address
      self.port = port
    }
  }

  /// Which protocol; nil for a rule that was read and is for neither TCP nor UDP.
  package let transport: Transport?
  /// The sender.
  package let source: Endpoint
  /// The receiver, which is this machine.
  package let destination: Endpoint
  /// The receive queue that it goes to.
  ///
  /// Of a rule that was read it may also be a number that means "drop", or one of the driver's.
  package let queue: UInt64
  /// The RSS context that spreads the flow over queues, from `queue` on; 0 is none.
  package let context: UInt32
  /// Where in the table the rule is, lower ones being looked at first; nil for one that is not
  /// there.
  package let location: UInt32?
  /// Whether the rule looks at parts of addresses or ports, which this type does not tell.
  package let hasPartialMasks: Bool

  /// A rule to insert.
  ///
  /// - Parameters:
  ///   - transport: whose addresses have to be of the family of those given.
  ///   - source: the sender.
  ///   - destination: the receiver.
  ///   - queue: a receive queue; with a context, what is added to the queue that it chooses.
  ///   - context: an RSS context, or 0.
  public init(
    _ transport: Transport, source: Endpoint = Endpoint(), destination: Endpoint = Endpoint(),
    queue: UInt32, context: UInt32 = 0
  ) {
    self.transport = transport
    self.source = source
    self.destination = destination
    self.queue = UInt64(queue)
    self.context = context
    location = nil
    hasPartialMasks = false
  }

  /// nil where an address is of the other family.
  var specification: csystem_ethtool_rule? {
    guard let transport else { return nil }
    let isIPv6 = transport == .tcp6 || transport == .udp6
    var rule = csystem_ethtool_rule()
    rule.flow_type = transport.rawValue
    rule.queue = queue
    rule.context = context
    for address in [source.address, destination.address] {
      if let address, address.isIPv6 != isIPv6 { return nil }
    }
    if let address = source.address {
      Self.write(address.bytes, &rule.source)
      Self.write(address.bytes.map { _ in 0xFF }, &rule.source_mask)
    }
    if let address = destination.address {
      Self.write(address.bytes, &rule.destination)
      Self.write(address.bytes.map { _ in 0xFF }, &rule.destination_mask)
    }
    if let port = source.port { (rule.source_port, rule.source_port_mask) = (port, 0xFFFF) }
    if let port = destination.port {
      (rule.destination_port, rule.destination_port_mask) = (port, 0xFFFF)
    }
    return rule
  }

  /// A rule as the card has it.
  init(_ rule: csystem_ethtool_rule) {
    transport = Transport(rawValue: rule.flow_type)
    queue = rule.queue
    context = rule.context
    location = rule.location
    let byteCount = transport == .tcp6 || transport == .udp6 ? 16 : 4
    let (sourceAddress, sourceIsPartial) = Self.address(
      rule.source, rule.source_mask, byteCount)
    let (destinationAddress, destinationIsPartial) = Self.address(
      rule.destination, rule.destination_mask, byteCount)
    source = Endpoint(
      address: sourceAddress, port: rule.source_port_mask == 0xFFFF ? rule.source_port : nil)
    destination = Endpoint(
      address: destinationAddress,
      port: rule.destination_port_mask == 0xFFFF ? rule.destination_port : nil)
    let portMasks = [rule.source_port_mask, rule.destination_port_mask]
    hasPartialMasks =
      sourceIsPartial || destinationIsPartial || portMasks.contains { $0 != 0 && $0 != 0xFFFF }
  }

  /// The uint8_t[16] of the C struct.
  private typealias AddressBytes = (
    UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
    UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
  )

  private static func write(_ bytes: [UInt8], _ into: inout AddressBytes) {
    unsafe withUnsafeMutableBytes(of: &into) { unsafe $0.copyBytes(from: bytes) }
  }

  private static func address(
    _ value: AddressBytes, _ mask: AddressBytes, _ byteCount: Int
  ) -> (IPAddress?, isPartial: Bool) {
    let mask = unsafe withUnsafeBytes(of: mask) { unsafe Array($0.prefix(byteCount)) }
    let bytes = unsafe withUnsafeBytes(of: value) { unsafe Array($0.prefix(byteCount)) }
    if mask.allSatisfy({ $0 == 0xFF }) { return (IPAddress(bytes: bytes), false) }
    return (nil, mask.contains { $0 != 0 })
  }
}
