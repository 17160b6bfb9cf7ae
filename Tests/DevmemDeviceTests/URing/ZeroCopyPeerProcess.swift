// SPDX-License-Identifier: Apache-2.0

import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// Tests/ZeroCopyPeer: another process with a ring of its own on the instance of a test.
final class ZeroCopyPeerProcess {
  private let tool: ToolProcess
  private let socket: UnixSocket
  /// Bytes that it has said it received.
  private(set) var byteCount = 0

  /// Starts it.
  /// - Parameter arguments: "import" or "export", and what belongs to it.
  init(_ arguments: [String]) throws {
    let path = "@devmem-zcrx-\(UUID().uuidString)"
    let listener = try UnixSocket.listen(path: path)
    tool = try ToolProcess(
      DevmemctlProcess.executable.deletingLastPathComponent()
        .appendingPathComponent("ZeroCopyPeer"), [path] + arguments)
    let process = tool.process
    guard
      try SystemProcess.waitUntilReadable(listener.descriptor.rawValue, milliseconds: 60_000)
    else { throw DevmemSim.Failure(description: "the peer does not connect") }
    #expect(process.isRunning)
    socket = try listener.accept()
  }

  /// One that shares the test's instance.
  static func importing(_ instance: ZeroCopyInstance, hold: Int) throws -> ZeroCopyPeerProcess {
    let peer = try ZeroCopyPeerProcess(["import", "\(hold)"])
    try instance.export().send(over: peer.socket)
    return peer
  }

  /// The place that it has sent.
  func share() throws -> ZeroCopyShare { try .receive(from: socket) }

  /// Gives it a connection to receive.
  func receive(_ stream: consuming OwnedFileDescriptor) throws {
    _ = try socket.send([0], descriptors: [stream.rawValue])
  }

  /// Takes what it has said.
  /// - Returns: whether it said anything within the time.
  func listen(milliseconds: Int32 = 0) throws -> Bool {
    guard
      try SystemProcess.waitUntilReadable(socket.descriptor.rawValue, milliseconds: milliseconds)
    else { return false }
    let said = String(decoding: try socket.receive(byteLimit: 32).bytes, as: UTF8.self)
    guard let count = Int(said) else { return false }
    byteCount = count
    return true
  }

  /// Kills it (`SIGKILL`), and waits until it has gone.
  func kill() throws {
    Glibc.kill(tool.process.processIdentifier, SIGKILL)
    #expect(try tool.wait().status == 128 + SIGKILL)
  }

  /// Waits for its end, which has to be a good one.
  func wait() throws {
    let output = try tool.wait()
    #expect(output.status == 0, "\(output.standardOutput)\(output.standardError)")
    while try listen() {}
  }
}

/// A receiver of the pattern that holds the last fragments, where Swift wants something that can be
/// copied.
final class PatternReceiver {
  private var receiver: ZeroCopyReceiver?
  private var packet: Packet
  private let holdCount: Int
  private(set) var held: [HeldFragment] = []
  private(set) var byteCount = 0

  init(_ receiver: consuming ZeroCopyReceiver, hold holdCount: Int) {
    packet = receiver.makePacket()
    self.receiver = consume receiver
    self.holdCount = holdCount
  }

  convenience init(
    _ stream: consuming OwnedFileDescriptor, over instance: ZeroCopyInstance, hold: Int
  ) throws {
    self.init(
      try ZeroCopyReceiver(stream: stream, over: instance, configuration: .init(waits: false)),
      hold: hold)
  }

  /// One call, whose bytes have to be the right ones.
  func step() throws -> ReceiveOutcome {
    let outcome = try receiver!.receive(into: &packet)
    guard outcome == .packet else { return outcome }
    while let fragment = packet.popFirstFragment() {
      let wrong = unsafe DevmemRig.pattern.firstDifference(
        in: UnsafeRawBufferPointer(start: fragment.cpuAddress, count: fragment.byteCount),
        at: byteCount)
      if let wrong { throw DevmemSim.Failure(description: "wrong byte at \(byteCount + wrong)") }
      byteCount += fragment.byteCount
      held.append(HeldFragment(fragment, at: 0))
    }
    if held.count > holdCount { held.removeFirst(held.count - holdCount) }
    return outcome
  }

  /// Receives until the end of the stream, or until `isDone` says so.
  func drain(until isDone: () throws -> Bool = { false }) throws {
    while try !isDone() {
      switch try step() {
      case .packet: break
      case .endOfStream: return
      case .wouldBlock: _ = try receiver!.wait(milliseconds: 20)
      case .exhausted:
        // Others may hold all there is.
        if held.isEmpty { usleep(1000) }
        held.removeAll()
      }
    }
  }

  /// Holds everything until there is no more, and returns how much that is; then the rest.
  func holdAll() throws -> Int {
    var most = 0
    while true {
      switch try step() {
      case .packet: most = max(most, held.count)
      case .wouldBlock: _ = try receiver!.wait(milliseconds: 1000)
      case .exhausted: held.removeAll()
      case .endOfStream: return most
      }
    }
  }

  /// Ends what is held, and gives it back.
  func finish() throws {
    held.removeAll()
    try receiver!.replenish()
  }

  /// Ends what is held.
  func release() { held.removeAll() }

  /// Ends it.
  func drop() {
    held.removeAll()
    receiver = nil
  }
}

/// A share where Swift wants something that can be copied.
final class ShareBox: @unchecked Sendable {
  private var share: ZeroCopyShare?
  init(_ share: consuming ZeroCopyShare) { self.share = consume share }
  func take() -> ZeroCopyShare { share.take()! }
}

/// Both ends of a TCP connection over loopback.
struct LoopbackConnection: ~Copyable {
  let client: SharedTCPSocket
  let server: OwnedFileDescriptor

  init() throws {
    let listener = try TCPSocket.listen(on: TCPEndpoint(address: "127.0.0.1", port: 0))
    let client = try TCPSocket.connect(
      to: TCPEndpoint(address: "127.0.0.1", port: listener.port))
    let server = try listener.accept().takeDescriptor()
    self.client = SharedTCPSocket(client)
    self.server = server
  }

  /// Sends the pattern, and the end, on a thread of its own; ends it where the other side has gone.
  func startSending(_ byteCount: Int) {
    let worker = Worker()
    worker.start { [client] in
      try? PeerSend.plain(byteCount, over: client)
      try? client.finishSending()
    }
    worker.stop()
  }

  consuming func takeServer() -> OwnedFileDescriptor { server }
}
