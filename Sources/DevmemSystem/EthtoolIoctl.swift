// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// What of a network card's settings netlink does not have, or has not had for long: steering
/// rules, the table of receive side scaling, the driver's name (SIOCETHTOOL,
/// include/uapi/linux/ethtool.h).
///
/// Interfaces are named, in the network namespace of the thread that opened it. Everything throws
/// `EOPNOTSUPP` where the driver does not have it, `ENODEV` where the interface is gone, and, where
/// it changes something, `EPERM` without CAP_NET_ADMIN. All members may be called from any thread.
package struct EthtoolIoctl: ~Copyable, Sendable {
  private let descriptor: OwnedFileDescriptor

  /// Opens a socket to ask through.
  ///
  /// - Throws: `EMFILE`.
  package init() throws(Errno) {
    descriptor = try system_ethtoolOpen()
  }

  /// The number of the network namespace that it speaks of (`SO_NETNS_COOKIE`), which no other
  /// has until the machine is booted anew.
  package func namespaceCookie() throws(Errno) -> UInt64 {
    try system_ethtoolNamespace(descriptor.rawValue)
  }

  /// The name of the driver, "mlx5_core".
  package func driver(of interface: String) throws(Errno) -> String {
    try system_ethtoolDriver(descriptor.rawValue, interface)
  }

  /// Number of receive queues.
  package func receiveQueueCount(of interface: String) throws(Errno) -> Int {
    try system_ethtoolReceiveQueues(descriptor.rawValue, interface)
  }

  /// The table that turns a packet's hash into a receive queue; empty where the card has none.
  ///
  /// - Parameter context: of receive side scaling; 0 is the card's own.
  /// - Throws: `ENOENT` for a context that is not there.
  package func indirection(of interface: String, context: UInt32 = 0) throws(Errno) -> [UInt32] {
    var queues = [UInt32](repeating: 0, count: 128)
    while true {
      let count = try system_ethtoolIndirection(
        descriptor.rawValue, interface, context: context, &queues)
      if count <= queues.count { return Array(queues[..<count]) }
      queues = [UInt32](repeating: 0, count: count)
    }
  }

  /// Sets the card's own table, of exactly its size; empty for the default one.
  ///
  /// - Throws: `EINVAL` (another size, or a queue that is not there).
  package func setIndirection(of interface: String, to queues: [UInt32]) throws(Errno) {
    try system_ethtoolSetIndirection(descriptor.rawValue, interface, queues)
  }

  /// Makes a context of receive side scaling.
  ///
  /// - Parameter queues: its table, of exactly the card's size; empty for the default one.
  /// - Returns: its number, >= 1.
  package func createContext(on interface: String, queues: [UInt32]) throws(Errno) -> UInt32 {
    try system_ethtoolCreateContext(descriptor.rawValue, interface, queues)
  }

  /// Deletes a context.
  ///
  /// - Throws: `ENOENT`, `EBUSY` while rules use it.
  package func deleteContext(_ context: UInt32, on interface: String) throws(Errno) {
    try system_ethtoolDeleteContext(descriptor.rawValue, interface, context)
  }

  /// The places of all steering rules.
  package func ruleLocations(of interface: String) throws(Errno) -> [UInt32] {
    try ruleTable(of: interface).locations
  }

  /// The rule at a place.
  ///
  /// - Throws: `ENOENT` or `EINVAL` if there is none: drivers differ.
  package func rule(at location: UInt32, of interface: String) throws(Errno) -> SteeringRule {
    var rule = csystem_ethtool_rule()
    rule.location = location
    try system_ethtoolRule(descriptor.rawValue, interface, &rule)
    return SteeringRule(rule)
  }

  /// Inserts a rule where the driver likes, or, where it leaves the choice to us, at the last free
  /// place: so that it does not come before rules that are there.
  ///
  /// - Returns: its place.
  /// - Throws: `ENOSPC` (no free place), `EEXIST`, `EINVAL` (the driver cannot match this, or there
  ///   is no such queue; also an address of the other family).
  package func insertRule(_ rule: SteeringRule, on interface: String) throws(Errno) -> UInt32 {
    guard var specification = rule.specification else { throw .EINVAL }
    let (locations, table) = try ruleTable(of: interface)
    if table.chooses != 0 {
      specification.location = UInt32.max  // RX_CLS_LOC_ANY
    } else {
      let taken = Set(locations)
      guard let free = (0..<table.size).last(where: { !taken.contains($0) }) else { throw .ENOSPC }
      specification.location = free
    }
    try system_ethtoolInsertRule(descriptor.rawValue, interface, &specification)
    return specification.location
  }

  /// Takes a rule away.
  ///
  /// - Throws: `ENOENT` or `EINVAL` if there is none.
  package func deleteRule(at location: UInt32, of interface: String) throws(Errno) {
    try system_ethtoolDeleteRule(descriptor.rawValue, interface, location)
  }

  private func ruleTable(
    of interface: String
  ) throws(Errno) -> (locations: [UInt32], table: csystem_ethtool_rule_table) {
    var locations = [UInt32](repeating: 0, count: 64)
    while true {
      var table = csystem_ethtool_rule_table()
      do throws(Errno) {
        try system_ethtoolRuleLocations(descriptor.rawValue, interface, &locations, &table)
        return (locations[..<Int(table.count)].sorted(), table)
      } catch {
        // More than there was room for; somebody may have added one meanwhile.
        guard error == .EMSGSIZE, Int(table.count) > locations.count else { throw error }
        locations = [UInt32](repeating: 0, count: Int(table.count) + 8)
      }
    }
  }
}
