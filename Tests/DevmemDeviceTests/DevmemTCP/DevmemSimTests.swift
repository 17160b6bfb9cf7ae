// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

/// The software NIC itself, as far as the standard tools can see it.
@Suite("devmemsim is a NIC", .onDevmemSim, .serialized)
struct DevmemSimTests {
  private let byteCount = 32_000

  /// A plain connection from the peer, over which some bytes come.
  private func transfer(port: UInt16, isIPv6: Bool = true) throws {
    let listener = SharedTCPSocket(
      try .listen(
        on: TCPEndpoint(address: DevmemSim.here.address(isIPv6: isIPv6), port: port)))
    let bytes = PlainPeer.pattern(byteCount, period: 251)
    let sender = Worker()
    defer { sender.stop() }
    sender.start { try? PlainPeer.send(bytes, toPort: port, isIPv6: isIPv6) }
    #expect(try PlainPeer.receiveAll(listener) == Data(bytes))
  }

  /// The queues by which they came.
  private func queues(port: UInt16, isIPv6: Bool = true) throws -> [Int] {
    let before = try DevmemSim.counters()
    try transfer(port: port, isIPv6: isIPv6)
    let after = try DevmemSim.counters()
    return (0..<4).filter { after["rx\($0)_bytes"]! - before["rx\($0)_bytes"]! >= byteCount }
  }

  @Test("n-tuple rules steer a flow to their queue, over either family")
  func rules() throws {
    let name = DevmemSim.here.interface
    for (queue, isIPv6) in [(1, false), (3, true), (2, false), (0, true)] {
      try DevmemSim.tool(
        "ethtool", "-N", name, "flow-type", isIPv6 ? "tcp6" : "tcp4", "dst-port", "5401",
        "action", "\(queue)", "loc", "7")
      #expect(try queues(port: 5401, isIPv6: isIPv6) == [queue])
    }
    #expect(try DevmemSim.tool("ethtool", "-n", name).contains("Filter: 7"))
    try DevmemSim.tool("ethtool", "-N", name, "delete", "7")
    #expect(try DevmemSim.tool("ethtool", "-n", name).contains("Total 0 rules"))
  }

  @Test("the indirection table steers what no rule names, a context what a rule points to it")
  func indirection() throws {
    let name = DevmemSim.here.interface
    try DevmemSim.tool("ethtool", "-X", name, "weight", "0", "0", "1", "0")
    #expect(try queues(port: 5402) == [2])
    try DevmemSim.tool("ethtool", "-X", name, "context", "new", "weight", "0", "0", "0", "1")
    try DevmemSim.tool(
      "ethtool", "-N", name, "flow-type", "tcp6", "dst-port", "5402", "context", "1", "loc", "0")
    #expect(try queues(port: 5402) == [3])
    try DevmemSim.tool("ethtool", "-N", name, "delete", "0")
    try DevmemSim.tool("ethtool", "-X", name, "context", "1", "delete")
    try DevmemSim.tool("ethtool", "-X", name, "default")
  }

  @Test("the bytes are the same with an offload switched off at either end")
  func offloads() throws {
    let offloads = [
      (DevmemSim.here, "rx-gro-hw"), (DevmemSim.here, "rx"), (DevmemSim.peer, "tso"),
      (DevmemSim.peer, "tx"),
    ]
    for (end, offload) in offloads {
      try DevmemSim.tool(at: end, "ethtool", "-K", end.interface, offload, "off")
      try transfer(port: 5403, isIPv6: end.interface == DevmemSim.peer.interface)
      try DevmemSim.tool(at: end, "ethtool", "-K", end.interface, offload, "on")
    }
  }

  @Test("channels and rings change while a flow goes on")
  func resizing() throws {
    let name = DevmemSim.here.interface
    let listener = SharedTCPSocket(
      try .listen(on: TCPEndpoint(address: DevmemSim.here.ipv6, port: 5404)))
    let block = PlainPeer.pattern(251 * 256, period: 251)
    let isOver = DrainFlag()
    let sender = Worker()
    defer { sender.stop() }
    let socket = try PlainPeer.connect(toPort: 5404)
    sender.start {
      while !isOver.isSet, (try? PlainPeer.send(block, over: socket)) != nil {}
      try? socket.finishSending()
    }
    let receiver = Worker()
    defer { receiver.stop() }
    let isSame = DrainFlag()
    receiver.start {
      guard let bytes = try? PlainPeer.receiveAll(listener), !bytes.isEmpty else { return }
      var expected = Data()
      while expected.count < bytes.count { expected += block }
      if bytes == expected { isSame.set() }
    }
    for count in [8, 2, 4] {
      try DevmemSim.tool("ethtool", "-L", name, "combined", "\(count)")
      try DevmemSim.tool("ethtool", "-G", name, "rx", "\(count * 16)", "tx", "\(count * 8)")
    }
    isOver.set()
    receiver.run {}
    #expect(isSame.isSet)
    try DevmemSim.tool("ethtool", "-G", name, "rx", "512", "tx", "512")
  }

  @Test("the link is down while the peer is")
  func carrier() throws {
    let state = "/sys/class/net/\(DevmemSim.here.interface)/carrier"
    #expect(try SystemFile.text(at: state) == "1\n")
    let peer = DevmemSim.peer
    try DevmemSim.tool(at: peer, "ip", "link", "set", peer.interface, "down")
    #expect(try SystemFile.text(at: state) == "0\n")
    try DevmemSim.tool(at: peer, "ip", "link", "set", peer.interface, "up")
    #expect(try SystemFile.text(at: state) == "1\n")
    // The address went with the link.
    try DevmemSim.tool(
      at: peer, "ip", "addr", "replace", "\(peer.ipv6)/64", "dev", peer.interface, "nodad")
  }
}
