// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem
internal import Synchronization

/// The program on an interface that hands packets to AF_XDP sockets, and others to the kernel.
///
/// Attached as long as this or a socket with it lives: the kernel detaches it when the last
/// descriptor is closed, also of a process that was killed. One for each interface; sockets of
/// several queues share it.
///
/// Thread rules: any.
package final class XDPProgram: Sendable {
  /// Which packets go to the sockets.
  package enum Filter: Hashable, Sendable {
    /// All of a queue that has a socket: the kernel sees none of them, neither ARP nor ICMP.
    case everything
    /// UDP to that port, 1 to 65535: over IPv4 without options and IPv6 without extension headers,
    /// without VLAN tags. All others are the kernel's.
    case udp(port: Int)
  }

  /// The interface's name.
  package let interface: String
  /// Whether packets may be longer than a chunk.
  package let isMultiBuffer: Bool
  private let table: OwnedFileDescriptor
  private let link: OwnedFileDescriptor
  private let queueLimit: Int
  /// Queues with a socket.
  private let queues = Mutex<Set<Int>>([])

  /// Loads and attaches it.
  /// - Parameters:
  ///   - interface: the interface's name.
  ///   - filter: which packets go to the sockets.
  ///   - isMultiBuffer: whether packets may be longer than a chunk (Linux 6.6).
  ///   - isGeneric: whether to run it above the driver, for those that cannot run programs.
  ///   - queueLimit: queues that sockets may be on are below it, 1 to 4096.
  /// - Throws: ``XDPError``: `.interfaceMissing`, `.programAttached`, `.permissionDenied`,
  ///   `.interfaceUnsupported`, `.kernelUnsupported`, `.invalidConfiguration`. Nothing is left.
  package init(
    interface: String, filter: Filter = .everything, isMultiBuffer: Bool = false,
    isGeneric: Bool = false, queueLimit: Int = 64
  ) throws(XDPError) {
    try XDPError.check("queueLimit", queueLimit, in: 1...4096)
    var port = 0
    if case .udp(let number) = filter {
      try XDPError.check("UDP port", number, in: 1...65535)
      port = number
    }
    let index: UInt32
    do throws(Errno) {
      index = try InterfaceNames.index(of: interface)
    } catch {
      throw XDPError(
        .interfaceMissing, "looking for the interface \(interface)", underlying: error,
        remedy: "ip link shows the interfaces.")
    }
    do throws(Errno) {
      table = try xdp_tableCreate(queueCount: queueLimit)
      let program = try xdp_programLoad(table, udpPort: port, isMultiBuffer: isMultiBuffer)
      link = try xdp_programAttach(program, interfaceIndex: Int(index), isGeneric: isGeneric)
    } catch {
      throw .attaching(error, interface: interface)
    }
    self.interface = interface
    self.isMultiBuffer = isMultiBuffer
    self.queueLimit = queueLimit
  }

  /// Reserves a queue for one socket.
  func claim(queue: Int) throws(XDPError) {
    try XDPError.check("queue", queue, in: 0...queueLimit - 1)
    guard queues.withLock({ $0.insert(queue).inserted }) else {
      throw XDPError(
        .queueTaken, "opening an AF_XDP socket on queue \(queue) of \(interface)",
        remedy: "This program already has a socket there: choose another queue.")
    }
  }

  /// Packets of that queue go to this socket from now on.
  func setSocket(_ descriptor: Int32, queue: Int) throws(Errno) {
    try xdp_tableSet(table, queue: queue, socket: descriptor)
  }

  func removeSocket(queue: Int) {
    xdp_tableRemove(table, queue: queue)
    queues.withLock { _ = $0.remove(queue) }
  }
}
