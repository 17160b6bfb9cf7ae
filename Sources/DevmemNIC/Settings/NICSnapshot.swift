// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemSystem

/// Everything that ``NICSetup`` may change, as it is now: to see that nothing has.
package struct NICSnapshot: Hashable, Sendable {
  package let rings: RingSettings
  package let channels: ChannelSettings
  package let rss: RSSSettings
  package let rules: [SteeringRule]
  package let features: Set<String>

  /// Reads an interface's settings.
  package init(of interface: NetworkInterface) throws(DevmemError) {
    var ethtool = try EthtoolFamily()
    rings = try ethtool.rings(of: interface)
    let settings = try known { () throws(DevmemError) in try ethtool.channels(of: interface) }
    if let settings {
      channels = settings
    } else {
      channels = ChannelSettings(
        receiveQueueCount: try ethtool.receiveQueueCount(of: interface))
    }
    rss =
      try known { () throws(DevmemError) in try ethtool.rss(of: interface) }
      ?? RSSSettings.none
    rules = try known { () throws(DevmemError) in try ethtool.rules(of: interface) } ?? []
    features = try ethtool.features(of: interface).active
  }

  /// What is different from an earlier one, one line each: "hds-thresh 256, was 0".
  package func changes(since before: NICSnapshot) -> [String] {
    var lines: [String] = []
    func compare(_ name: String, _ old: String, _ new: String) {
      if old != new { lines.append("\(name) \(new), was \(old)") }
    }
    func text<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "-" }
    compare(
      "receive queues", "\(before.channels.current.receiveQueueCount)",
      "\(channels.current.receiveQueueCount)")
    compare("tcp-data-split", text(before.rings.dataSplit?.word), text(rings.dataSplit?.word))
    compare(
      "hds-thresh", text(before.rings.headerSplitThreshold), text(rings.headerSplitThreshold))
    compare(
      "receive side scaling over queues", Self.list(before.rss.indirection),
      Self.list(rss.indirection))
    for name in features.symmetricDifference(before.features).sorted() {
      lines.append("\(name) \(features.contains(name) ? "on, was off" : "off, was on")")
    }
    for rule in rules where !before.rules.contains(rule) {
      lines.append("rule added: \(rule.text)")
    }
    for rule in before.rules where !rules.contains(rule) {
      lines.append("rule removed: \(rule.text)")
    }
    return lines
  }

  /// Which queues a table has.
  private static func list(_ indirection: [UInt32]) -> String {
    indirection.isEmpty
      ? "-" : Set(indirection).sorted().map(String.init).joined(separator: " ")
  }
}
