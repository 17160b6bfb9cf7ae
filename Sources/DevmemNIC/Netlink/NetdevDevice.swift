// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// What the kernel says of a network device (`dev-get`).
package struct NetdevDevice: Hashable, Sendable {
  /// `ifindex`
  package let interfaceIndex: UInt32
  /// What XDP can do there (`enum netdev_xdp_act`): bit 0 basic, 1 redirect, 2 ndo-xmit,
  /// 3 xsk-zerocopy, 4 hw-offload, 5 rx-sg, 6 ndo-xmit-sg.
  package let xdpFeatures: UInt64
  /// Buffers that one AF_XDP zero-copy packet may have; nil where there is no zero-copy.
  package let xdpZerocopyMaximumSegments: UInt32?
  /// What the card tells XDP programs of a packet (`enum netdev_xdp_rx_metadata`): bit 0 timestamp,
  /// 1 hash, 2 vlan-tag.
  package let receiveMetadataFeatures: UInt64
  /// What the card does for AF_XDP's sending (`enum netdev_xsk_flags`): bit 0 tx-timestamp,
  /// 1 tx-checksum, 2 tx-launch-time-fifo.
  package let xskFeatures: UInt64

  /// nil if it names no device.
  init?(_ attributes: NetlinkAttributes) {
    guard let index = attributes[NetdevDeviceAttribute.interfaceIndex]?.uint32 else { return nil }
    interfaceIndex = index
    xdpFeatures = attributes[NetdevDeviceAttribute.xdpFeatures]?.uint64 ?? 0
    xdpZerocopyMaximumSegments =
      attributes[NetdevDeviceAttribute.xdpZerocopyMaximumSegments]?.uint32
    receiveMetadataFeatures =
      attributes[NetdevDeviceAttribute.xdpReceiveMetadataFeatures]?.uint64 ?? 0
    xskFeatures = attributes[NetdevDeviceAttribute.xskFeatures]?.uint64 ?? 0
  }

  /// The names of the bits of ``xdpFeatures``, as the kernel's specification has them.
  package var xdpFeatureNames: [String] {
    Self.names(
      xdpFeatures,
      ["basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"])
  }

  /// The names of the bits of ``receiveMetadataFeatures``.
  package var receiveMetadataFeatureNames: [String] {
    Self.names(receiveMetadataFeatures, ["timestamp", "hash", "vlan-tag"])
  }

  private static func names(_ bits: UInt64, _ names: [String]) -> [String] {
    names.enumerated().filter { bits >> UInt64($0.offset) & 1 == 1 }.map(\.element)
  }
}
