// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

// Which queue a packet goes to: receive side scaling through netlink where the kernel has it
// (reading since Linux 6.3, setting since 6.17) and through ioctls elsewhere; rules through ioctls
// alone.
extension EthtoolFamily {
  /// The number of the network namespace that this speaks of, unlike any other's until the next
  /// boot.
  func namespaceCookie() throws(DevmemError) -> UInt64 {
    do throws(Errno) {
      return try ioctl.namespaceCookie()
    } catch {
      throw .step("asking for the network namespace", NetlinkFailure(error))
    }
  }

  /// The name of the driver, "mlx5_core".
  package func driver(of interface: NetworkInterface) throws(DevmemError) -> String {
    try withIoctl("asking for the driver of \(interface)", interface) {
      ioctl, name throws(Errno) in try ioctl.driver(of: name)
    }
  }

  /// Number of receive queues.
  package func receiveQueueCount(of interface: NetworkInterface) throws(DevmemError) -> Int {
    try withIoctl("counting the receive queues of \(interface)", interface) {
      ioctl, name throws(Errno) in try ioctl.receiveQueueCount(of: name)
    }
  }

  /// Receive side scaling, the card's own or of a context (`rss-get`).
  package mutating func rss(
    of interface: NetworkInterface, context: UInt32 = 0
  ) throws(DevmemError) -> RSSSettings {
    RSSSettings(
      try get(.rssGet, "receive side scaling", of: interface) { request in
        if context != 0 { request.append(EthtoolRSSAttribute.context, uint32: context) }
      })
  }

  /// Sets the card's own table of receive side scaling (`rss-set`, or ETHTOOL_SRSSH).
  ///
  /// - Parameter indirection: a receive queue for each entry, of exactly the card's size; empty for
  ///   the default table, which also follows later changes of the number of channels.
  package mutating func setRSS(
    of interface: NetworkInterface, indirection: [UInt32]
  ) throws(DevmemError) {
    if has(.rssSet) {
      return try set(.rssSet, "receive side scaling", of: interface) {
        $0.append(EthtoolRSSAttribute.indirection, uint32Array: indirection)
      }
    }
    try withIoctl("setting receive side scaling of \(interface)", interface) {
      ioctl, name throws(Errno) in try ioctl.setIndirection(of: name, to: indirection)
    }
  }

  /// Makes a context of receive side scaling (`rss-create-act`, or ETHTOOL_SRSSH), which rules can
  /// spread flows by.
  ///
  /// - Parameter indirection: as for ``setRSS(of:indirection:)``.
  /// - Returns: its number, >= 1.
  package mutating func createRSSContext(
    on interface: NetworkInterface, indirection: [UInt32] = []
  ) throws(DevmemError) -> UInt32 {
    let operation = "making a context of receive side scaling on \(interface)"
    guard has(.rssCreate) else {
      return try withIoctl(operation, interface) { ioctl, name throws(Errno) in
        try ioctl.createContext(on: name, queues: indirection)
      }
    }
    let replies = try ask(.rssCreate, operation, interface) { request in
      if !indirection.isEmpty {
        request.append(EthtoolRSSAttribute.indirection, uint32Array: indirection)
      }
    }
    if let context = replies.first.map({ RSSSettings($0.attributes).context }), context > 0 {
      return context
    }
    throw DevmemError(
      .systemCall, operation, interface: interface, underlying: .EIO,
      cause: "the kernel's answer names no context")
  }

  /// Deletes a context of receive side scaling (`rss-delete-act`, or ETHTOOL_SRSSH).
  package mutating func deleteRSSContext(
    _ context: UInt32, on interface: NetworkInterface
  ) throws(DevmemError) {
    let operation = "deleting context \(context) of receive side scaling on \(interface)"
    guard has(.rssDelete) else {
      return try withIoctl(operation, interface) { ioctl, name throws(Errno) in
        try ioctl.deleteContext(context, on: name)
      }
    }
    _ = try ask(.rssDelete, operation, interface) {
      $0.append(EthtoolRSSAttribute.context, uint32: context)
    }
  }

  /// The steering rules, in the order in which the card looks at them.
  package func rules(of interface: NetworkInterface) throws(DevmemError) -> [SteeringRule] {
    try withIoctl("reading the steering rules of \(interface)", interface) {
      ioctl, name throws(Errno) in
      var rules: [SteeringRule] = []
      for location in try ioctl.ruleLocations(of: name) {
        rules.append(try ioctl.rule(at: location, of: name))
      }
      return rules
    }
  }

  /// Inserts a steering rule.
  ///
  /// - Returns: its place, for ``deleteRule(at:of:)``.
  /// - Throws: also ``DevmemError/Code/rulesExhausted``.
  package func insertRule(
    _ rule: SteeringRule, on interface: NetworkInterface
  ) throws(DevmemError) -> UInt32 {
    try withIoctl("inserting a steering rule on \(interface)", interface) {
      ioctl, name throws(Errno) in try ioctl.insertRule(rule, on: name)
    }
  }

  /// Takes a steering rule away.
  package func deleteRule(
    at location: UInt32, of interface: NetworkInterface
  ) throws(DevmemError) {
    try withIoctl("deleting steering rule \(location) of \(interface)", interface) {
      ioctl, name throws(Errno) in try ioctl.deleteRule(at: location, of: name)
    }
  }
}
