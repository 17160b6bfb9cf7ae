// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// Our ends against the kernel's own client, and `devmemctl` against itself.
@Suite("recv, send and ncdevmem", .onDevmemSim, .serialized)
struct DevmemPeerTests {
  @Test("our sender to ncdevmem, which finds every byte right", arguments: [false, true])
  func toNcdevmem(isIPv6: Bool) throws {
    let byteCount = 1 << 20
    let receiver = try Ncdevmem.receiver(
      address: DevmemSim.here.address(isIPv6: isIPv6), port: 5601, ["-v", "7", "-L"])
    let outcome = try PeerJob {
      try PeerSend.devmem(
        byteCount, port: 5601, isIPv6: isIPv6, pattern: BytePattern(period: 7))
    }.join()
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError.suffix(1000))")
    #expect(output.receivedByteCount == byteCount)
    #expect(!output.standardError.contains("Failed validation"))
    #expect(outcome.heldCount == 0)
    #expect(outcome.statistics.deviceByteCount == byteCount)
  }

  @Test("ncdevmem to our receiver, whole lines and pieces of 3 bytes", arguments: [0, 3])
  func fromNcdevmem(pieceByteCount: Int) throws {
    let rig = try DevmemRig(port: 5602)
    // 250 bytes and a newline, so that each period is a line, and a send of its own.
    let byteCount = DevmemRig.period * 40
    var bytes = [UInt8](repeating: 0, count: byteCount)
    unsafe bytes.withUnsafeMutableBytes { unsafe DevmemRig.pattern.fill($0, at: 0) }
    // A newline inside a period would be an end of a line, too; that does not matter here.
    let sender = try Ncdevmem(
      at: DevmemSim.peer,
      ["-s", DevmemSim.here.ipv6, "-p", "5602"]
        + (pieceByteCount > 0 ? ["-z", "\(pieceByteCount)"] : []), input: Data(bytes))
    var receiver = try rig.receiver()
    let received = try rig.drain(&receiver) { fragment, _ in
      #expect(fragment.placement == .device)
      _ = consume fragment
    }
    #expect(received == byteCount)
    let output = try sender.wait()
    #expect(output.status == 0, "\(output.standardError)")
    try receiver.flush()
    #expect(receiver.tokensOwed == 0)
  }

  /// devmemctl at the peer.
  private func atPeer(_ arguments: [String], input: Data = Data()) throws -> ToolProcess {
    try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["ip", "netns", "exec", DevmemSim.namespace, DevmemctlProcess.executable.path] + arguments,
      input: input)
  }

  @Test(
    "devmemctl send to devmemctl recv --validate: equal digests, nothing linear, nothing owed",
    arguments: [
      (["--hold", "300", "--listen", "10.45.0.1"], ["--packet-size", "5000"], false),
      (["--iov-size", "16K", "--queues", "2,3"], ["--iov-size", "64K"], true),
    ])
  func command(recvOptions: [String], sendOptions: [String], isIPv6: Bool) throws {
    let byteCount = 24 << 20
    let before = try NICState.now()
    let receiver = try DevmemctlProcess(
      ["recv", "--interface", DevmemSim.here.interface, "--validate", "--fail-on-linear", "--json"]
        + recvOptions)
    let address = DevmemSim.here.address(isIPv6: isIPv6)
    let sent = try atPeer(
      ["send", address, "--interface", DevmemSim.peer.interface, "--bytes", "\(byteCount)"]
        + ["--json", "--connect-timeout", "30"] + sendOptions
    ).wait()
    let received = try receiver.wait()
    #expect(sent.status == 0, "\(sent.standardError)")
    #expect(received.status == 0, "\(received.standardError)")
    let out = try sent.json()
    let into = try received.json()
    #expect(out["sha256"] as? String == into["sha256"] as? String)
    #expect(into["byteCount"] as? Int == byteCount)
    #expect(into["deviceByteCount"] as? Int == byteCount)
    #expect(into["linearByteCount"] as? Int == 0)
    #expect(into["tokensOwed"] as? Int == 0)
    #expect(into["changedWhileHeld"] as? Int == 0)
    #expect(into["poolInFlightAfter"] as? Int == 0)
    #expect(into["validated"] as? Bool == true)
    #expect(out["inFlightAtEnd"] as? Int == 0)
    #expect(out["deviceByteCount"] as? Int == byteCount)
    #expect(out["completedCallCount"] as? Int == out["callCount"] as? Int)
    #expect(try NICState.now() == before, "the card is not as it was")
  }

  @Test("a file goes through standard input and out of standard output as it is")
  func pipes() throws {
    var random = SeededGenerator(seed: 5)
    let bytes = Data((0..<60_001).map { _ in UInt8.random(in: 0...255, using: &random) })
    let receiver = try DevmemctlProcess(
      ["recv", "--interface", DevmemSim.here.interface, "--port", "5603", "--output", "-"])
    let sender = try atPeer(
      ["send", DevmemSim.here.ipv4, "--interface", DevmemSim.peer.interface, "--port", "5603"]
        + ["--input", "-", "--connect-timeout", "30"], input: bytes)
    #expect(try sender.wait().status == 0)
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.standardError.contains("sha256"))
    #expect(output.standardOutput == String(decoding: bytes, as: UTF8.self))
  }

  @Test("a pattern that is wrong fails, and says where")
  func wrongPattern() throws {
    let receiver = try DevmemctlProcess(
      ["recv", "--interface", DevmemSim.here.interface, "--validate", "--period", "9"])
    let sender = try atPeer(
      ["send", DevmemSim.here.ipv6, "--interface", DevmemSim.peer.interface, "--bytes", "64K"]
        + ["--connect-timeout", "30"])
    _ = try sender.wait()
    let output = try receiver.wait()
    #expect(output.status == 1)
    #expect(output.standardError.contains("byte 6 is not what the pattern says"))
  }

  @Test("interrupted while it waits: the card is put back")
  func interrupted() throws {
    let before = try NICState.now()
    let receiver = try ToolProcess(
      DevmemctlProcess.executable, ["recv", "--interface", DevmemSim.here.interface])
    try receiver.waitForError("listening")
    #expect(try NICState.now() != before)
    receiver.process.terminate()
    let output = try receiver.wait()
    #expect(output.status == 1)
    #expect(try NICState.now() == before)
  }

  @Test(
    "a sender whose peer does not read, or does not answer, ends with the first signal",
    arguments: [(SIGINT, true), (SIGTERM, true), (SIGINT, false)])
  func interruptedSender(signal: Int32, isConnected: Bool) throws {
    let listener = try PlainPeer.listen(isIPv6: false)
    let tool = try ToolProcess(
      DevmemctlProcess.executable,
      ["send", isConnected ? DevmemSim.peer.ipv4 : "10.45.0.77", "--bytes", "4G"]
        + ["--interface", DevmemSim.here.interface, "--port", "\(listener.port)"]
        + ["--connect-timeout", "600"])
    var peer: SharedTCPSocket?
    if isConnected {
      let isThere = try listener.socket.descriptor.wait(for: .readable, milliseconds: 60_000)
      try #require(isThere)
      peer = SharedTCPSocket(try listener.socket.accept())
    }
    try waitForStandstill(of: tool, sendingTo: peer)
    let number = tool.process.processIdentifier
    kill(number, signal)
    for _ in 0..<1200 where tool.process.isRunning { usleep(50_000) }
    if tool.process.isRunning {
      Issue.record("still there a minute after signal \(signal)")
      kill(number, SIGKILL)
    }
    let output = try tool.wait()
    #expect(output.status == 1)
    let word = signal == SIGINT ? "interrupted" : "terminated"
    #expect(output.standardError.hasSuffix("Error: \(word)\n"), "\(output.standardError)")
    withExtendedLifetime(peer) {}
  }

  /// Waits until a sender notes signals, and until nothing more comes to a peer that does not read.
  private func waitForStandstill(of tool: ToolProcess, sendingTo peer: SharedTCPSocket?) throws {
    let path = "/proc/\(tool.process.processIdentifier)/status"
    var isReady = false
    while !isReady, tool.process.isRunning {
      usleep(50_000)
      let line = try SystemFile.text(at: path).split(separator: "\n").first {
        $0.hasPrefix("SigCgt:")
      }
      let caught = line.flatMap { UInt64($0.split(separator: "\t").last ?? "", radix: 16) } ?? 0
      // Bit 0 is signal 1.
      isReady = caught >> UInt64(SIGINT - 1) & 1 == 1
    }
    guard let peer else { return }
    var (waiting, before, same) = (Int32(0), Int32(-1), 0)
    while same < 10, tool.process.isRunning {
      usleep(100_000)
      // FIONREAD
      try #require(unsafe ioctl(peer.socket.descriptor.rawValue, 0x541B, &waiting) == 0)
      same = waiting > 0 && waiting == before ? same + 1 : 0
      before = waiting
    }
  }
}

/// What `recv` changes about a card.
private struct NICState: Equatable {
  let rings: RingSettings
  let indirection: [UInt32]
  let rules: [SteeringRule]

  static func now() throws -> NICState {
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    var ethtool = try EthtoolFamily()
    return NICState(
      rings: try ethtool.rings(of: interface),
      indirection: try ethtool.rss(of: interface).indirection,
      rules: try ethtool.rules(of: interface))
  }
}
