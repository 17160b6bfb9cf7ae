// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

// Rings with header/data split, channels, features: through netlink.
extension EthtoolFamily {
  /// The rings and header/data split (`rings-get`).
  package mutating func rings(
    of interface: NetworkInterface
  ) throws(DevmemError) -> RingSettings {
    RingSettings(try get(.ringsGet, "the rings", of: interface))
  }

  /// Sets header/data split (`rings-set`). What is nil stays as it is.
  ///
  /// - Parameters:
  ///   - dataSplit: `tcp-data-split`.
  ///   - threshold: `hds-thresh`, in bytes: packets up to this many are not split.
  package mutating func setHeaderSplit(
    of interface: NetworkInterface, dataSplit: RingSettings.DataSplit? = nil,
    threshold: UInt32? = nil
  ) throws(DevmemError) {
    try set(.ringsSet, "header/data split", of: interface) { request in
      if let dataSplit {
        request.append(EthtoolRingsAttribute.tcpDataSplit, uint8: dataSplit.rawValue)
      }
      if let threshold {
        request.append(EthtoolRingsAttribute.headerSplitThreshold, uint32: threshold)
      }
    }
  }

  /// The channels (`channels-get`).
  package mutating func channels(
    of interface: NetworkInterface
  ) throws(DevmemError) -> ChannelSettings {
    ChannelSettings(try get(.channelsGet, "the channels", of: interface))
  }

  /// Sets the number of channels (`channels-set`). What is nil stays as it is.
  package mutating func setChannels(
    of interface: NetworkInterface, combined: UInt32? = nil, receive: UInt32? = nil,
    transmit: UInt32? = nil
  ) throws(DevmemError) {
    try set(.channelsSet, "the channels", of: interface) { request in
      if let combined { request.append(EthtoolChannelsAttribute.combined, uint32: combined) }
      if let receive { request.append(EthtoolChannelsAttribute.receive, uint32: receive) }
      if let transmit { request.append(EthtoolChannelsAttribute.transmit, uint32: transmit) }
    }
  }

  /// Which features are on, and which can be switched (`features-get`), by the kernel's names, such
  /// as "rx-ntuple-filter".
  package mutating func features(
    of interface: NetworkInterface
  ) throws(DevmemError) -> (active: Set<String>, changeable: Set<String>) {
    let reply = try get(.featuresGet, "the features", of: interface)
    return (
      Self.names(in: reply[EthtoolFeaturesAttribute.active]),
      Self.names(in: reply[EthtoolFeaturesAttribute.changeable])
    )
  }

  /// Switches a feature (`features-set`).
  ///
  /// - Throws: also ``DevmemError/Code/settingRefused`` if it did not come to that: the kernel
  ///   switches only what the driver lets it.
  package mutating func setFeature(
    _ name: String, _ isOn: Bool, of interface: NetworkInterface
  ) throws(DevmemError) {
    try set(.featuresSet, "the feature \(name)", of: interface) { request in
      request.append(EthtoolFeaturesAttribute.wanted) { bitset in
        bitset.append(EthtoolBitsetAttribute.bits) { bits in
          bits.append(EthtoolBitsetBitsAttribute.bit) { bit in
            bit.append(EthtoolBitsetBitAttribute.name, string: name)
            // A flag: there or not.
            if isOn { bit.append(EthtoolBitsetBitAttribute.value, bytes: []) }
          }
        }
      }
    }
    guard try features(of: interface).active.contains(name) == isOn else {
      throw DevmemError(
        .settingRefused, "setting the feature \(name) of \(interface)", interface: interface,
        remedy: "What can be switched: ethtool -k \(interface)")
    }
  }

  /// What is set in a bit set: of one without a mask all bits that it lists; one with a mask lists
  /// those of the mask, and says of each whether it is set (what can be switched comes so, with all
  /// features that there are as its mask).
  private static func names(in bitset: NetlinkAttribute?) -> Set<String> {
    guard let bitset = bitset?.attributes,
      let bits = bitset[EthtoolBitsetAttribute.bits]?.attributes
    else { return [] }
    let hasMask = bitset[EthtoolBitsetAttribute.hasNoMask] == nil
    return Set(
      bits.all(EthtoolBitsetBitsAttribute.bit).compactMap { bit in
        if hasMask && bit.attributes[EthtoolBitsetBitAttribute.value] == nil { return nil }
        return bit.attributes[EthtoolBitsetBitAttribute.name]?.string
      })
  }
}
