// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// Counters of a network device, or of one of its queues (`qstats-get`). What the driver does not
/// count is nil.
package struct NetdevQueueStatistics: Hashable, Sendable {
  /// `ifindex`
  package let interfaceIndex: UInt32
  /// Which queue; nil for the whole device, queues that are no more included.
  package let queue: Queue?
  /// Packets received.
  package let receivePackets: UInt64?
  /// Bytes received.
  package let receiveBytes: UInt64?
  /// Packets sent.
  package let transmitPackets: UInt64?
  /// Bytes sent.
  package let transmitBytes: UInt64?
  /// Receive buffers that could not be allocated: with device memory, that the bound buffer was
  /// exhausted.
  package let receiveAllocationFailures: UInt64?
  /// Packets that the card dropped on arrival.
  package let receiveHardwareDrops: UInt64?

  /// A queue's place.
  package struct Queue: Hashable, Sendable {
    /// What goes through it.
    package let kind: NetdevQueue.Kind
    /// The number among the queues of its kind.
    package let id: UInt32
  }

  /// nil if it names no device.
  init?(_ attributes: NetlinkAttributes) {
    typealias Name = NetdevQueueStatisticsAttribute
    guard let index = attributes[Name.interfaceIndex]?.uint32 else { return nil }
    interfaceIndex = index
    if let id = attributes[Name.queueID]?.uint32,
      let kind = attributes[Name.queueType]?.uint32.flatMap(NetdevQueue.Kind.init(rawValue:))
    {
      queue = Queue(kind: kind, id: id)
    } else {
      queue = nil
    }
    receivePackets = attributes[Name.receivePackets]?.unsigned
    receiveBytes = attributes[Name.receiveBytes]?.unsigned
    transmitPackets = attributes[Name.transmitPackets]?.unsigned
    transmitBytes = attributes[Name.transmitBytes]?.unsigned
    receiveAllocationFailures = attributes[Name.receiveAllocationFailures]?.unsigned
    receiveHardwareDrops = attributes[Name.receiveHardwareDrops]?.unsigned
  }
}
