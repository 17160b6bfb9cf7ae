// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// The rings of a network card (`rings-get`; `struct kernel_ethtool_ringparam`,
/// include/linux/ethtool.h), and header/data split, which lives with them. What the driver does not
/// tell is nil.
package struct RingSettings: Hashable, Sendable {
  /// Whether headers and payload of TCP go to different buffers (`enum ethtool_tcp_data_split`).
  package enum DataSplit: UInt8, Hashable, Sendable {
    /// As the driver likes.
    case automatic = 0
    /// Off.
    case disabled = 1
    /// On.
    case enabled = 2
  }

  /// `tcp-data-split`; nil where the driver has no such setting.
  package let dataSplit: DataSplit?
  /// `hds-thresh`: packets up to this many bytes are not split. nil where it cannot be set.
  package let headerSplitThreshold: UInt32?
  /// `hds-thresh-max`
  package let headerSplitThresholdMaximum: UInt32?
  /// Descriptors of a receive ring.
  package let receive: UInt32?
  /// Descriptors that a receive ring may have at most.
  package let receiveMaximum: UInt32?
  /// Descriptors of a send ring.
  package let transmit: UInt32?
  /// Descriptors that a send ring may have at most.
  package let transmitMaximum: UInt32?
  /// Bytes of a receive buffer.
  package let receiveBufferByteCount: UInt32?

  init(_ attributes: NetlinkAttributes) {
    typealias Name = EthtoolRingsAttribute
    dataSplit = attributes[Name.tcpDataSplit]?.uint8.flatMap(DataSplit.init(rawValue:))
    headerSplitThreshold = attributes[Name.headerSplitThreshold]?.uint32
    headerSplitThresholdMaximum = attributes[Name.headerSplitThresholdMaximum]?.uint32
    receive = attributes[Name.receive]?.uint32
    receiveMaximum = attributes[Name.receiveMaximum]?.uint32
    transmit = attributes[Name.transmit]?.uint32
    transmitMaximum = attributes[Name.transmitMaximum]?.uint32
    receiveBufferByteCount = attributes[Name.receiveBufferByteCount]?.uint32
  }
}
