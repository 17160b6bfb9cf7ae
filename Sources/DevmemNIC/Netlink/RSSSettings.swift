// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// Receive side scaling of a network card, or of one of its contexts (`rss-get`): how packets that
/// no rule steers are spread over the receive queues.
package struct RSSSettings: Hashable, Sendable {
  /// The context; 0 is the card's own.
  package let context: UInt32
  /// From the lowest bits of a packet's hash to a receive queue; empty where the card has no table.
  package let indirection: [UInt32]
  /// Bit of the hash function (`ETH_RSS_HASH_TOP` 1, `_XOR` 2, `_CRC32` 4); nil if it is not told.
  package let hashFunction: UInt32?
  /// The key of the hash function; empty if it is not told.
  package let hashKey: [UInt8]

  /// Of a card that has none.
  static let none = RSSSettings()

  private init() { (context, indirection, hashFunction, hashKey) = (0, [], nil, []) }

  init(_ attributes: NetlinkAttributes) {
    context = attributes[EthtoolRSSAttribute.context]?.uint32 ?? 0
    indirection = attributes[EthtoolRSSAttribute.indirection]?.uint32Array ?? []
    hashFunction = attributes[EthtoolRSSAttribute.hashFunction]?.uint32
    hashKey = attributes[EthtoolRSSAttribute.hashKey].map { Array($0.bytes) } ?? []
  }

  /// The table that the kernel makes by itself (`ethtool_rxfh_indir_default`): queues in turn.
  static func defaultIndirection(size: Int, queueCount: Int) -> [UInt32] {
    (0..<size).map { UInt32($0 % max(queueCount, 1)) }
  }
}
