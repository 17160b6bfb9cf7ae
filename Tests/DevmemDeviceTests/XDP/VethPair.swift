// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

/// Two interfaces joined by a wire, one here and one in a network namespace of its own, while a
/// suite runs that asks for them with the trait ``onVethPair``: what one sends the other receives.
/// The one here has two queues; what the peer sends comes by the first, since it has one to send
/// by. Each knows the other's hardware address.
struct VethPair: SuiteTrait, TestScoping {
  static let interface = "dmveth0"
  static let peer = "dmveth1"
  static let namespace = "dmveth-peer"
  static let ipv4 = "10.46.0.1"
  static let peerIPv4 = "10.46.0.2"

  /// A tool that went wrong.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    Self.remove()
    defer { Self.remove() }
    let (here, there) = ("02:00:00:00:46:01", "02:00:00:00:46:02")
    try Self.run("ip netns add \(Self.namespace)")
    try Self.run(
      "ip link add \(Self.interface) address \(here) numrxqueues 2 numtxqueues 2 type veth peer"
        + " name \(Self.peer) address \(there) numrxqueues 2 numtxqueues 1 netns \(Self.namespace)")
    try Self.run("ip addr add \(Self.ipv4)/24 dev \(Self.interface)")
    try Self.run("ip link set \(Self.interface) up")
    try Self.run("ip neigh replace \(Self.peerIPv4) lladdr \(there) dev \(Self.interface)")
    try Self.runAtPeer("ip addr add \(Self.peerIPv4)/24 dev \(Self.peer)")
    try Self.runAtPeer("ip link set \(Self.peer) up")
    // Else the peer leaves checksums to a card that is not there, and answers would have them too.
    try Self.runAtPeer("ethtool -K \(Self.peer) tx off")
    try Self.runAtPeer("ip neigh replace \(Self.ipv4) lladdr \(here) dev \(Self.peer)")
    try await function()
  }

  private static func remove() {
    _ = try? run("ip link del \(interface)")
    _ = try? run("ip netns del \(namespace)")
  }

  /// Runs a command that has to succeed.
  @discardableResult
  static func run(_ command: String) throws -> String {
    let output = try ToolProcess.run(
      URL(fileURLWithPath: "/usr/bin/env"), command.split(separator: " ").map(String.init))
    guard output.status == 0 else {
      throw Failure(
        description: "\(command): \(output.status) \(output.standardOutput)"
          + output.standardError)
    }
    return output.standardOutput
  }

  @discardableResult
  static func runAtPeer(_ command: String) throws -> String {
    try run("ip netns exec \(namespace) \(command)")
  }

  /// Starts a Python program in the peer's namespace, which knows nothing of this library.
  static func startPeer(_ program: String, _ arguments: String...) throws -> ToolProcess {
    try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["ip", "netns", "exec", namespace, "python3", "-c", program] + arguments)
  }

  /// Whether the kernel has an XDP program on the interface.
  static func hasProgram() throws -> Bool {
    try run("ip link show \(interface)").contains(" xdp")
  }
}

extension Trait where Self == VethPair {
  static var onVethPair: Self { VethPair() }
}
