// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

/// The kernel's own suite for devmem TCP on our software NIC: ncdevmem's tests of its own, and the
/// bodies of tools/testing/selftests/drivers/net/hw/devmem.py. That they pass says that devmemsim
/// is such a NIC; what ours do on it is in the other suites.
@Suite("The kernel's ncdevmem on devmemsim", .onDevmemSim, .serialized)
struct NcdevmemTests {
  @Test(
    "its own tests: refused without queues, refused without header split, bound, channels held",
    arguments: [[], ["-b", "16384"]])
  func ownTests(options: [String]) throws {
    let output = try Ncdevmem(at: DevmemSim.here, options).wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.standardError.contains("missing attribute: .queues.id"))
    #expect(output.standardError.contains("tcp-data-split is disabled"))
    #expect(output.standardError.contains("too low for existing memory provider setting"))
  }

  @Test("check_rx: what a plain peer sends arrives in device memory", arguments: [false, true])
  func receives(isIPv6: Bool) throws {
    // A rule over addresses and ports of both sides, as with devmem.py's flow_steer.
    let receiver = try Ncdevmem.receiver(
      address: DevmemSim.here.address(isIPv6: isIPv6), port: 5301,
      ["-c", DevmemSim.peer.address(isIPv6: isIPv6), "-v", "7", "-L"])
    try PlainPeer.send(PlainPeer.pattern(1 << 10, period: 7), toPort: 5301, isIPv6: isIPv6)
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.receivedByteCount == 1 << 10)
    #expect(output.standardOutput.contains("Validated buffer"))
    #expect(!output.standardError.contains("Failed validation"))
  }

  @Test(
    "check_tx and check_tx_chunks: lines out of device memory, whole and in pieces of 3 bytes",
    arguments: [0, 3], [false, true])
  func sends(pieceByteCount: Int, isIPv6: Bool) throws {
    let listener = try PlainPeer.listen(isIPv6: isIPv6)
    let address = DevmemSim.peer.address(isIPv6: isIPv6)
    let sender = try Ncdevmem(
      at: DevmemSim.here,
      ["-s", address, "-p", "\(listener.port)"]
        + (pieceByteCount > 0 ? ["-z", "\(pieceByteCount)"] : []),
      input: Data("hello\nworld\n".utf8))
    let received = try PlainPeer.receiveAll(listener)
    let output = try sender.wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(String(decoding: received, as: UTF8.self) == "hello\nworld\n")
    #expect(output.standardError.contains("tx complete [1,1]"))
  }

  @Test("check_rx_hds: no byte of payload of any size comes by copy")
  func splitsHeaders() throws {
    // One connection for all sizes, each a segment of its own; devmem.py starts anew for each.
    let receiver = try Ncdevmem.receiver(address: DevmemSim.here.ipv6, port: 5302, ["-L"])
    let socket = try PlainPeer.connect(toPort: 5302)
    try socket.setNoDelay(true)
    var total = 0
    for byteCount in [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192] {
      try PlainPeer.send([UInt8](repeating: 0, count: byteCount), over: socket)
      total += byteCount
      try receiver.waitForBytes(total)
    }
    try PlainPeer.finish(socket)
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.receivedByteCount == total)
    #expect(output.linearCount == 0)
  }

  @Test(
    "check_rx_large_niov: buffers of 16 KiB, payload below, at and above that",
    arguments: [1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10])
  func largePages(byteCount: Int) throws {
    let receiver = try Ncdevmem.receiver(
      address: DevmemSim.here.ipv6, port: 5303, ["-b", "16384", "-v", "7", "-L"])
    try PlainPeer.send(PlainPeer.pattern(byteCount, period: 7), toPort: 5303)
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.receivedByteCount == byteCount)
    #expect(!output.standardError.contains("Failed validation"))
  }

  @Test("from device memory to device memory, in both directions", arguments: [false, true])
  func bothEnds(isReversed: Bool) throws {
    let (from, to) =
      isReversed ? (DevmemSim.here, DevmemSim.peer) : (DevmemSim.peer, DevmemSim.here)
    let receiver = try Ncdevmem.receiver(
      at: to, address: to.ipv6, port: 5304, ["-v", "8", "-L"])
    // 64 lines, each a send of its own that waits for its completion.
    let sender = try Ncdevmem(
      at: from, ["-s", to.ipv6, "-p", "5304"], input: Data(PlainPeer.pattern(512, period: 8)))
    let sent = try sender.wait()
    #expect(sent.status == 0, "\(sent.standardError)")
    #expect(sent.standardError.contains("tx complete [63,63]"))
    let received = try receiver.wait()
    #expect(received.status == 0, "\(received.standardError)")
    #expect(received.receivedByteCount == 512)
    #expect(!received.standardError.contains("Failed validation"))
  }

  /// 256 KiB to ncdevmem, validated.
  private func receiveMuch(port: UInt16) throws -> ToolProcess.Output {
    let receiver = try Ncdevmem.receiver(
      address: DevmemSim.here.ipv6, port: port, ["-v", "7", "-L"])
    try PlainPeer.send(PlainPeer.pattern(256 << 10, period: 7), toPort: port)
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError.suffix(1000))")
    #expect(output.receivedByteCount == 256 << 10)
    #expect(!output.standardError.contains("Failed validation"))
    return output
  }

  @Test("frames that get lost come again")
  func lostFrames() throws {
    // Segments of their own on the wire, so that there are frames enough to lose some.
    try DevmemSim.tool("ethtool", "-K", DevmemSim.here.interface, "rx-gro-hw", "off")
    defer { _ = try? DevmemSim.tool("ethtool", "-K", DevmemSim.here.interface, "rx-gro-hw", "on") }
    let before = try DevmemSim.counters()
    let output = try DevmemSim.with(.loseFrames, 17, at: DevmemSim.here) {
      try receiveMuch(port: 5305)
    }
    let after = try DevmemSim.counters()
    #expect(after["rx3_drops"]! > before["rx3_drops"]!)
    // One for each segment, not one for 4 KiB.
    #expect(output.fragmentCount > 2 * (256 << 10) / 4096)
  }

  @Test("allocations that fail cost a frame, not the flow")
  func failingAllocations() throws {
    let before = try DevmemSim.counters()
    _ = try DevmemSim.with(.failAllocations, 13, at: DevmemSim.here) {
      try receiveMuch(port: 5306)
    }
    let after = try DevmemSim.counters()
    #expect(after["rx3_alloc_fail"]! > before["rx3_alloc_fail"]!)
  }

  @Test("a send whose completion is late is told of late, and once")
  func lateCompletions() throws {
    let listener = try PlainPeer.listen()
    let sender = try DevmemSim.with(.delayCompletions, 100, at: DevmemSim.here) {
      let sender = try Ncdevmem(
        at: DevmemSim.here, ["-s", DevmemSim.peer.ipv6, "-p", "\(listener.port)"],
        input: Data("late\nlater\n".utf8))
      #expect(try PlainPeer.receiveAll(listener).count == 11)
      return try sender.wait()
    }
    #expect(sender.status == 0, "\(sender.standardError)")
    #expect(sender.standardError.matches(of: /tx complete/).count == 2)
  }

  @Test("the module unloads while payload waits in device memory, and loads again")
  func unloadsWithPayloadHeld() throws {
    let receiver = try Ncdevmem.receiver(address: DevmemSim.here.ipv6, port: 5307, [])
    let socket = try PlainPeer.connect(toPort: 5307)
    try PlainPeer.send([1], over: socket)
    try receiver.waitForBytes(1)
    receiver.stop()
    try PlainPeer.send(PlainPeer.pattern(32 << 10, period: 7), over: socket)
    try DevmemSim.reload()
    // Its socket, and with it the buffers, goes only now.
    receiver.kill()
    #expect(try receiver.wait().status == 128 + 9)
    try receives(isIPv6: true)
  }
}
