// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// Counters of a network device, or of one of its queues (`qstats-get`). What the driver does not count
/// is nil.
public struct NetdevQueueStatistics: Hashable, Sendable {
  /// `ifindex`
  public let interfaceIndex: UInt32
  /// Which queue; nil for the whole device, queues that are no more included.
  public let queue: Queue?
  /// Packets received.
  public let receivePackets: UInt64?
  /// Bytes received.
  public let receiveBytes: UInt64?
  /// Packets sent.
  public let transmitPackets: UInt64?
  /// Bytes sent.
  public let transmitBytes: UInt64?
  /// Receive buffers that could not be allocated: with device memory, that the bound buffer was
  /// exhausted.
  public let receiveAllocationFailures: UInt64?
  /// Packets that the card dropped on arrival.
  public let receiveHardwareDrops: UInt64?

  /// A queue's place.
  public struct Queue: Hashable, Sendable {
    /// What goes through it.
    public let kind: NetdevQueue.Kind
    /// The number among the queues of its kind.
    public let id: UInt32
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
