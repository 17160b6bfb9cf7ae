// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// How many channels a network card uses (`channels-get`): a channel is an interrupt with queues. A
/// combined channel has a receive queue and a send queue.
package struct ChannelSettings: Hashable, Sendable {
  /// Channels of each sort.
  package struct Counts: Hashable, Sendable {
    /// That only receive.
    package var receive: UInt32
    /// That only send.
    package var transmit: UInt32
    /// For other things, such as link changes.
    package var other: UInt32
    /// That do both.
    package var combined: UInt32

    /// Number of receive queues.
    package var receiveQueueCount: UInt32 {
      UInt32(clamping: UInt64(receive) + UInt64(combined))
    }
  }

  /// In use.
  package let current: Counts
  /// At most; 0 for sorts that the card does not have.
  package let maximum: Counts

  /// Of a card that tells nothing but how many receive queues it has.
  init(receiveQueueCount: Int) {
    current = Counts(
      receive: UInt32(clamping: receiveQueueCount), transmit: 0, other: 0, combined: 0)
    maximum = current
  }

  init(_ attributes: NetlinkAttributes) {
    typealias Name = EthtoolChannelsAttribute
    func count(_ name: Name) -> UInt32 { attributes[name]?.uint32 ?? 0 }
    current = Counts(
      receive: count(.receive), transmit: count(.transmit), other: count(.other),
      combined: count(.combined))
    maximum = Counts(
      receive: count(.receiveMaximum), transmit: count(.transmitMaximum),
      other: count(.otherMaximum), combined: count(.combinedMaximum))
  }
}
