// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

// The numbers of the ethtool family that are used here, as
// include/uapi/linux/ethtool_netlink_generated.h of Linux 7.3 has them
// (Documentation/netlink/specs/ethtool.yaml). Debian 12's headers lack the newer ones.

/// ETHTOOL_MSG_*, from user to kernel.
enum EthtoolCommand: UInt8 {
  case featuresGet = 11
  case featuresSet = 12
  case ringsGet = 15
  case ringsSet = 16
  case channelsGet = 17
  case channelsSet = 18
  case rssGet = 38
  case rssSet = 48
  case rssCreate = 49
  case rssDelete = 50
}

/// ETHTOOL_A_HEADER_*
enum EthtoolHeaderAttribute: UInt16, NetlinkAttributeName {
  case interfaceIndex = 1
  case interfaceName = 2
}

/// The header's place: 1 in all the messages that are used here (ETHTOOL_A_RINGS_HEADER and so on).
enum EthtoolMessageAttribute: UInt16, NetlinkAttributeName {
  case header = 1
}

/// ETHTOOL_A_RINGS_*
enum EthtoolRingsAttribute: UInt16, NetlinkAttributeName {
  case receiveMaximum = 2
  case transmitMaximum = 5
  case receive = 6
  case transmit = 9
  case receiveBufferByteCount = 10
  case tcpDataSplit = 11
  case headerSplitThreshold = 17
  case headerSplitThresholdMaximum = 18
}

/// ETHTOOL_A_CHANNELS_*
enum EthtoolChannelsAttribute: UInt16, NetlinkAttributeName {
  case receiveMaximum = 2
  case transmitMaximum = 3
  case otherMaximum = 4
  case combinedMaximum = 5
  case receive = 6
  case transmit = 7
  case other = 8
  case combined = 9
}

/// ETHTOOL_A_RSS_*
enum EthtoolRSSAttribute: UInt16, NetlinkAttributeName {
  case context = 2
  case hashFunction = 3
  case indirection = 4
  case hashKey = 5
  case inputTransformation = 6
  case startContext = 7
}

/// ETHTOOL_A_FEATURES_*
enum EthtoolFeaturesAttribute: UInt16, NetlinkAttributeName {
  case changeable = 2
  case wanted = 3
  case active = 4
}

/// ETHTOOL_A_BITSET_*
enum EthtoolBitsetAttribute: UInt16, NetlinkAttributeName {
  case hasNoMask = 1
  case bits = 3
}

/// ETHTOOL_A_BITSET_BITS_*
enum EthtoolBitsetBitsAttribute: UInt16, NetlinkAttributeName {
  case bit = 1
}

/// ETHTOOL_A_BITSET_BIT_*
enum EthtoolBitsetBitAttribute: UInt16, NetlinkAttributeName {
  case name = 2
  case value = 3
}
