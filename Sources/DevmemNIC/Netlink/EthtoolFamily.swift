// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

/// Settings of network cards: the kernel's ethtool family of generic netlink
/// (Documentation/networking/ethtool-netlink.rst), and, for what that does not have, the ioctls of
/// `EthtoolIoctl`.
///
/// Speaks of the network namespace of the thread that makes it. One thread at a time may use it.
/// Reading needs no privilege, setting needs CAP_NET_ADMIN.
///
/// Everything throws ``DevmemError/Code/settingUnsupported`` where the driver does not have it,
/// ``DevmemError/Code/interfaceMissing``, and, where it sets something,
/// ``DevmemError/Code/permissionDenied``, ``DevmemError/Code/settingRefused`` and
/// ``DevmemError/Code/stillBound`` (bound device memory pins the split and its queues).
package struct EthtoolFamily: ~Copyable, Sendable {
  private var socket: NetlinkSocket
  private let family: GenericNetlinkFamily
  let ioctl: EthtoolIoctl

  /// Opens the sockets and looks the family up.
  ///
  /// - Throws: ``DevmemError/Code/kernelUnsupported``, ``DevmemError/Code/descriptorLimit``.
  package init() throws(DevmemError) {
    do throws(NetlinkFailure) {
      var socket = try NetlinkFailure.wrapping { () throws(Errno) in try NetlinkSocket() }
      let family = try socket.family(named: "ethtool")
      let ioctl = try NetlinkFailure.wrapping { () throws(Errno) in try EthtoolIoctl() }
      self.socket = socket
      self.family = family
      self.ioctl = ioctl
    } catch {
      throw DevmemError.openingFamily("ethtool", error)
    }
  }

  /// The interface of a name of up to 127 bytes, such as an alternative one; nil if there is none.
  static func interface(named name: String) throws(DevmemError) -> NetworkInterface? {
    guard !name.isEmpty, name.utf8.count < 128, !name.utf8.contains(0) else { return nil }
    var family = try EthtoolFamily()
    var request = family.family.request(EthtoolCommand.featuresGet)
    request.append(EthtoolMessageAttribute.header) {
      $0.append(EthtoolHeaderAttribute.interfaceName, string: name)
    }
    guard let reply = try? family.socket.request(request).first,
      let index = reply.attributes[EthtoolMessageAttribute.header]?
        .attributes[EthtoolHeaderAttribute.interfaceIndex]?.uint32
    else { return nil }
    return try NetworkInterface(index: index)
  }

  func has(_ command: EthtoolCommand) -> Bool { family.commands.contains(command.rawValue) }

  /// Asks about one interface.
  mutating func get(
    _ command: EthtoolCommand, _ what: String, of interface: NetworkInterface,
    _ fill: (inout NetlinkRequest) -> Void = { _ in }
  ) throws(DevmemError) -> NetlinkAttributes {
    let operation = "reading \(what) of \(interface)"
    let replies = try ask(command, operation, interface, fill)
    if let reply = replies.first { return reply.attributes }
    throw DevmemError(
      .systemCall, operation, interface: interface, underlying: .EIO,
      cause: "the kernel's answer is empty")
  }

  /// Sets something of one interface.
  mutating func set(
    _ command: EthtoolCommand, _ what: String, of interface: NetworkInterface,
    _ fill: (inout NetlinkRequest) -> Void
  ) throws(DevmemError) {
    _ = try ask(command, "setting \(what) of \(interface)", interface, fill)
  }

  mutating func ask(
    _ command: EthtoolCommand, _ operation: String, _ interface: NetworkInterface,
    _ fill: (inout NetlinkRequest) -> Void
  ) throws(DevmemError) -> [NetlinkMessage] {
    var request = family.request(command)
    request.append(EthtoolMessageAttribute.header) {
      $0.append(EthtoolHeaderAttribute.interfaceIndex, uint32: interface.index)
    }
    fill(&request)
    do throws(NetlinkFailure) {
      return try socket.request(request)
    } catch {
      throw .ethtool(operation, interface, error)
    }
  }

  /// Runs ioctls, which go by the name that the interface has now.
  func withIoctl<Result>(
    _ operation: String, _ interface: NetworkInterface,
    _ body: (borrowing EthtoolIoctl, _ name: String) throws(Errno) -> Result
  ) throws(DevmemError) -> Result {
    do throws(Errno) {
      return try body(ioctl, try InterfaceNames.name(of: interface.index))
    } catch {
      throw .ethtool(operation, interface, NetlinkFailure(error == .ENXIO ? .ENODEV : error))
    }
  }
}

/// What an interface answers about its settings, nil where it has no such settings.
func known<Settings>(
  _ settings: () throws(DevmemError) -> Settings
) throws(DevmemError) -> Settings? {
  do throws(DevmemError) {
    return try settings()
  } catch {
    guard error.code == .settingUnsupported else { throw error }
    return nil
  }
}

extension DevmemError {
  /// What an answer of the ethtool family means.
  static func ethtool(
    _ operation: String, _ interface: NetworkInterface, _ failure: NetlinkFailure
  ) -> DevmemError {
    let words = failure.text ?? ""
    let (code, remedy): (Code, String?) =
      switch failure.errno {
      case .EOPNOTSUPP:
        (.settingUnsupported, "The driver of \(interface) does not have it. \(capableDevices)")
      case .EINVAL, .EBUSY:
        if words.contains("memory provider") {
          (
            .stillBound,
            "Unbind first: end the program that has bound memory (devmemctl netdev list shows it)."
          )
        } else {
          (
            .settingRefused,
            "What the interface can do: ethtool -g \(interface); ethtool -l \(interface)"
          )
        }
      case .ERANGE: (.settingRefused, nil)
      case .ENOSPC, .EEXIST:
        (.rulesExhausted, "The rules that are there: ethtool -n \(interface)")
      default: (.systemCall, nil)
      }
    return step(operation, interface: interface, failure, otherwise: code, remedy: remedy)
  }
}
