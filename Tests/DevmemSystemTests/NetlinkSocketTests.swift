// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Generic netlink against the running kernel: the controller and the ethtool family are on any.
@Suite struct NetlinkSocketTests {
  private enum Command: UInt8 {
    case stringSetGet = 1
    case ringsGet = 15
    case unknown = 250
  }

  private enum Attribute: UInt16, NetlinkAttributeName {
    case header = 1
    case interfaceIndex = 1000
  }

  private enum Header: UInt16, NetlinkAttributeName {
    case interfaceIndex = 1
    case interfaceName = 2
  }

  @Test("the ethtool family is found, with its commands and its group")
  func family() throws {
    var socket = try NetlinkSocket()
    let family = try socket.family(named: "ethtool")
    #expect(family.name == "ethtool")
    #expect(family.id >= 16)
    #expect(family.commands.contains(Command.ringsGet.rawValue))
    #expect(!family.commands.contains(Command.unknown.rawValue))
    #expect(family.groups["monitor"] != nil)
  }

  @Test("an unknown family is ENOENT, and the socket goes on")
  func unknownFamily() throws {
    var socket = try NetlinkSocket()
    #expect(failure { () throws(NetlinkFailure) in try socket.family(named: "nothing") } == .ENOENT)
    #expect(try socket.family(named: "nlctrl").id == 16)
  }

  @Test("a refusal carries the kernel's words and the place of the bad attribute")
  func extendedAck() throws {
    var socket = try NetlinkSocket()
    let family = try socket.family(named: "ethtool")
    var request = family.request(Command.ringsGet)
    request.append(Attribute.header) { $0.append(Header.interfaceName, string: "no-such-dev") }
    do {
      try socket.request(request)
      Issue.record("an interface that is not there has rings")
    } catch {
      #expect(error.errno == .ENODEV)
      #expect(error.text == "no device matches name")
      let offset = try #require(error.badAttributeOffset)
      #expect(request.path(to: offset) == [1, 2])
    }
  }

  @Test("strict checking refuses an attribute that the kernel does not know")
  func strict() throws {
    var socket = try NetlinkSocket()
    let family = try socket.family(named: "ethtool")
    var request = family.request(Command.ringsGet)
    request.append(Attribute.interfaceIndex, uint32: 1)
    do {
      try socket.request(request)
      Issue.record("the kernel took what it does not know")
    } catch {
      #expect(error.errno == .EINVAL)
      #expect(error.badAttributeOffset.map(request.path(to:)) == [1000])
    }
  }

  @Test("a command that the family lacks is EOPNOTSUPP")
  func unknownCommand() throws {
    var socket = try NetlinkSocket()
    let family = try socket.family(named: "ethtool")
    let request = family.request(Command.unknown)
    #expect(failure { () throws(NetlinkFailure) in try socket.request(request) } == .EOPNOTSUPP)
  }

  @Test("a dump lists the families, and the socket asks again afterwards")
  func dump() throws {
    var socket = try NetlinkSocket()
    // GENL_ID_CTRL, CTRL_CMD_GETFAMILY
    let request = NetlinkRequest(family: 16, command: 3, version: 2)
    let all = try socket.dump(request)
    #expect(all.count >= 2)
    #expect(all.allSatisfy { $0.family == 16 && $0.command == 1 })
    #expect(try socket.dump(request).count == all.count)
  }

  @Test("joining a group that is not there is refused; a joined one stays silent meanwhile")
  func notifications() throws {
    var socket = try NetlinkSocket(timeLimit: 50)
    let family = try socket.family(named: "ethtool")
    let group = try #require(family.groups["monitor"])
    #expect(throws: Errno.self) { try socket.join(group: 0x7FFF_FFFF) }
    try socket.join(group: group)
    #expect(try socket.wait(milliseconds: 0) == false)
    #expect(throws: Errno.EAGAIN) { try socket.receiveNotifications() }
  }

  @Test("interfaces are found by name and by number")
  func interfaces() throws {
    #expect(try InterfaceNames.index(of: "lo") == 1)
    #expect(try InterfaceNames.name(of: 1) == "lo")
    #expect(throws: Errno.ENODEV) { try InterfaceNames.index(of: "no-such-dev") }
    #expect(throws: Errno.ENXIO) { try InterfaceNames.name(of: 0x7FFF_FFFF) }
  }

  @Test("netlink leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        var socket = try NetlinkSocket()
        let family = try socket.family(named: "ethtool")
        try socket.join(group: family.groups["monitor"] ?? 0)
        _ = try socket.wait(milliseconds: 0)
        _ = try socket.dump(NetlinkRequest(family: 16, command: 3, version: 2))
        _ = try InterfaceNames.name(of: try InterfaceNames.index(of: "lo"))
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  private func failure<Result>(_ body: () throws(NetlinkFailure) -> Result) -> Errno? {
    do throws(NetlinkFailure) {
      _ = try body()
      return nil
    } catch {
      return error.errno
    }
  }

  @Test(
    "what another process sends is not taken for the kernel's word, and does not hold an answer up")
  func foreignSender() throws {
    var socket = try NetlinkSocket(timeLimit: 2000)
    // AF_NETLINK, SOCK_RAW, NETLINK_GENERIC; the address is family, padding, port, groups.
    let other = Glibc.socket(16, Int32(SOCK_RAW.rawValue), 16)
    defer { close(other) }
    let port = socket.port
    // The port as its sequence number would be, an answer without an end: 2^31 bytes, it says.
    let message: [UInt32] = [0x8000_0010, 0x0000_0003, 1, port]
    let address: [UInt32] = [16, port, 0]
    let sent = unsafe message.withUnsafeBytes { message in
      unsafe address.withUnsafeBytes { address in
        unsafe sendto(
          other, message.baseAddress, message.count, 0,
          address.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
      }
    }
    // Sending to another process takes CAP_NET_ADMIN.
    #expect(sent == message.count * 4 || errno == EPERM || errno == ECONNREFUSED)
    #expect(try socket.family(named: "ethtool").name == "ethtool")
    #expect(try socket.family(named: "nlctrl").id == 16)
  }
}
