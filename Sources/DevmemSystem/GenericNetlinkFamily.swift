// SPDX-License-Identifier: Apache-2.0

/// A family of generic netlink as the running kernel has it (`CTRL_CMD_GETFAMILY`,
/// include/uapi/linux/genetlink.h).
package struct GenericNetlinkFamily: Hashable, Sendable {
  /// "netdev", "ethtool"; at most 15 bytes.
  package let name: String
  /// The number of its messages: another one after each boot.
  package let id: UInt16
  /// Of the family.
  package let version: UInt8
  /// The commands that it takes.
  ///
  /// A command may be listed and refuse all the same, where an option of the kernel is off.
  package let commands: Set<UInt8>
  /// Its multicast groups: name to number.
  package let groups: [String: UInt32]

  /// A request to the family without attributes.
  package func request(_ command: some RawRepresentable<UInt8>) -> NetlinkRequest {
    NetlinkRequest(family: id, command: command.rawValue, version: version)
  }

  /// Reads the controller's answer; nil if what has to be there is not.
  init?(_ attributes: NetlinkAttributes) {
    guard let name = attributes[Attribute.name]?.string,
      let id = attributes[Attribute.id]?.uint16
    else { return nil }
    self.name = name
    self.id = id
    version = UInt8(truncatingIfNeeded: attributes[Attribute.version]?.uint32 ?? 1)
    let operations = attributes[Attribute.operations].map { Array($0.attributes) } ?? []
    commands = Set(
      operations.compactMap {
        $0.attributes[Operation.id]?.uint32.map { UInt8(truncatingIfNeeded: $0) }
      })
    var groups: [String: UInt32] = [:]
    for group in attributes[Attribute.groups].map({ Array($0.attributes) }) ?? [] {
      guard let name = group.attributes[Group.name]?.string,
        let id = group.attributes[Group.id]?.uint32
      else { continue }
      groups[name] = id
    }
    self.groups = groups
  }

  /// What asks for a family of that name.
  static func question(_ name: String) -> NetlinkRequest {
    // GENL_ID_CTRL, CTRL_CMD_GETFAMILY; the controller's version is 2.
    var request = NetlinkRequest(family: 16, command: 3, version: 2)
    request.append(Attribute.name, string: name)
    return request
  }

  /// CTRL_ATTR_*
  private enum Attribute: UInt16, NetlinkAttributeName {
    case id = 1
    case name = 2
    case version = 3
    case operations = 6
    case groups = 7
  }

  /// CTRL_ATTR_OP_*
  private enum Operation: UInt16, NetlinkAttributeName {
    case id = 1
  }

  /// CTRL_ATTR_MCAST_GRP_*
  private enum Group: UInt16, NetlinkAttributeName {
    case name = 1
    case id = 2
  }
}
