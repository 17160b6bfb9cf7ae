// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

/// Something that happened to a network device or to one of the kernel's page pools.
package enum NetdevEvent: Hashable, Sendable {
  /// `dev-add-ntf`
  case deviceAdded(NetdevDevice)
  /// `dev-del-ntf`
  case deviceRemoved(NetdevDevice)
  /// `dev-change-ntf`: its features.
  case deviceChanged(NetdevDevice)
  /// `page-pool-add-ntf`
  case pagePoolAdded(KernelPagePool)
  /// `page-pool-del-ntf`: its last buffer is back.
  case pagePoolRemoved(KernelPagePool)
  /// `page-pool-change-ntf`: the driver has let it go, or its device has gone.
  case pagePoolChanged(KernelPagePool)

  /// nil for what this version does not know.
  init?(_ message: NetlinkMessage) {
    let event: NetdevEvent? =
      switch NetdevCommand(rawValue: message.command) {
      case .deviceAddNotification: NetdevDevice(message.attributes).map(Self.deviceAdded)
      case .deviceDeleteNotification: NetdevDevice(message.attributes).map(Self.deviceRemoved)
      case .deviceChangeNotification: NetdevDevice(message.attributes).map(Self.deviceChanged)
      case .pagePoolAddNotification: KernelPagePool(message.attributes).map(Self.pagePoolAdded)
      case .pagePoolDeleteNotification: KernelPagePool(message.attributes).map(Self.pagePoolRemoved)
      case .pagePoolChangeNotification: KernelPagePool(message.attributes).map(Self.pagePoolChanged)
      default: nil
      }
    guard let event else { return nil }
    self = event
  }
}

/// The notifications of the netdev family (groups `mgmt` and `page-pool`), in the order in which
/// they happened, from the moment when the value is made.
///
/// Needs no privilege. One thread at a time may use it.
package struct NetdevNotifications: ~Copyable, Sendable {
  private let socket: NetlinkSocket
  private let family: UInt16
  /// Read and not yet given out, the next one last.
  private var pending: [NetdevEvent] = []

  /// Subscribes.
  ///
  /// - Throws: as ``NetdevFamily/init()``.
  package init() throws(DevmemError) {
    do throws(NetlinkFailure) {
      var socket = try NetlinkFailure.wrapping { () throws(Errno) in try NetlinkSocket() }
      let family = try socket.family(named: "netdev")
      for group in ["mgmt", "page-pool"] {
        guard let number = family.groups[group] else {
          throw NetlinkFailure(.ENOENT, text: "the family has no group \(group)")
        }
        try NetlinkFailure.wrapping { () throws(Errno) in try socket.join(group: number) }
      }
      self.socket = socket
      self.family = family.id
    } catch {
      throw DevmemError.openingFamily("netdev", error)
    }
  }

  /// For poll(2) and epoll(7): readable when an event is waiting in the kernel. Events that were
  /// read along with another do not show there: call ``next(milliseconds:)`` with 0 until it gives
  /// nil.
  package var descriptor: Int32 { socket.descriptor }

  /// The next event.
  ///
  /// - Parameter milliseconds: how long to wait; 0 not at all, -1 for ever.
  /// - Returns: nil if the time has passed.
  /// - Throws: ``DevmemError/Code/notificationsLost`` if the kernel had to drop some because they
  ///   were not read in time: read the lists anew; the next call goes on.
  package mutating func next(milliseconds: Int) throws(DevmemError) -> NetdevEvent? {
    let deadline = Deadline(milliseconds: Int32(clamping: milliseconds))
    do throws(Errno) {
      while pending.isEmpty {
        guard try socket.wait(milliseconds: Int(deadline.milliseconds)) else { return nil }
        let messages = try socket.receiveNotifications()
        pending = messages.filter { $0.family == family }.compactMap(NetdevEvent.init).reversed()
      }
    } catch {
      let operation = "reading the notifications of the netdev family"
      if error == .ENOBUFS {
        throw DevmemError(
          .notificationsLost, operation, underlying: error,
          remedy: "Read the lists anew, and the notifications more often.")
      }
      throw .step(operation, NetlinkFailure(error))
    }
    return pending.popLast()
  }
}
