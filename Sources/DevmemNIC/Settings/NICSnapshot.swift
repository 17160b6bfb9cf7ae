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
    channels = try ethtool.channels(of: interface)
    rss = try ethtool.rss(of: interface)
    rules = try ethtool.rules(of: interface)
    features = try ethtool.features(of: interface).active
  }
}
