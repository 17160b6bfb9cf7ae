// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// A queue of a network device (`queue-get`).
package struct NetdevQueue: Hashable, Sendable {
  /// What goes through it (`enum netdev_queue_type`).
  package enum Kind: UInt32, Hashable, Sendable {
    /// What arrives.
    case receive = 0
    /// What is sent.
    case transmit = 1
  }

  /// `ifindex`
  package let interfaceIndex: UInt32
  /// What goes through it.
  package let kind: Kind
  /// The number among the queues of its kind, from 0.
  package let id: UInt32
  /// The NAPI instance that serves it; nil where the driver does not say.
  package let napiID: UInt32?
  /// The dma-buf that is bound to it; nil without one.
  package let dmabufID: UInt32?
  /// Whether io_uring's zero-copy receive has it.
  package let isOnIOUring: Bool
  /// Whether an AF_XDP socket has it.
  package let isOnXSK: Bool
  /// Whether it is lent to, or borrowed from, another device (Linux 7.1).
  package let isLeased: Bool

  /// nil if it names no queue.
  init?(_ attributes: NetlinkAttributes) {
    guard let id = attributes[NetdevQueueAttribute.id]?.uint32,
      let index = attributes[NetdevQueueAttribute.interfaceIndex]?.uint32,
      let kind = attributes[NetdevQueueAttribute.type]?.uint32.flatMap(Kind.init(rawValue:))
    else { return nil }
    self.id = id
    interfaceIndex = index
    self.kind = kind
    napiID = attributes[NetdevQueueAttribute.napiID]?.uint32
    dmabufID = attributes[NetdevQueueAttribute.dmabuf]?.uint32
    isOnIOUring = attributes[NetdevQueueAttribute.ioUring] != nil
    isOnXSK = attributes[NetdevQueueAttribute.xsk] != nil
    isLeased = attributes[NetdevQueueAttribute.lease] != nil
  }
}
