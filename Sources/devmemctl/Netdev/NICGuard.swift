// SPDX-License-Identifier: Apache-2.0

import DevmemNet
import DevmemSystem
import Glibc

/// A network card that is set up for device memory as long as this process lives, however it ends: a
/// second process (``NICGuardCommand``) has done it and puts everything back.
///
/// The card's memory has to be unbound by then; the end of the process sees to that as well.
final class NICGuard {
  /// What to type if both processes are killed.
  let restoreCommands: [String]

  private let connection: UnixSocket
  private let processID: pid_t
  private var isReaped = false

  /// Sets the card up.
  ///
  /// - Throws: `CommandError` with what ``NICSetup`` says; nothing has changed then.
  init(_ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule]) throws {
    let (near, far) = try UnixSocket.pair()
    var arguments = ["nic-guard", "--socket", "3", "--interface", interface.name]
    arguments += queues.flatMap { ["--queue", "\($0)"] }
    arguments += rules.flatMap { ["--rule", Self.encode($0)] }
    let processID = try spawnOurselves(arguments, passing: far.descriptor.rawValue, as: 3)
    connection = near
    self.processID = processID
    do {
      let answer = try Self.answer(near, "ready")
      restoreCommands = answer.split(separator: "\n").map(String.init)
    } catch {
      // It has nothing to put back.
      _ = waitForProcess(processID)
      throw error
    }
  }

  deinit {
    try? restore()
  }

  /// Puts everything back and waits for it. A second call does nothing.
  ///
  /// - Throws: `CommandError` with what ``NICSetup/restore()`` says.
  func restore() throws {
    guard !isReaped else { return }
    defer {
      _ = waitForProcess(processID)
      isReaped = true
    }
    try connection.send(Array("restore".utf8))
    _ = try Self.answer(connection, "restored")
  }

  /// What comes after the word that is expected.
  private static func answer(_ connection: UnixSocket, _ word: String) throws -> String {
    let message = try connection.receive(byteLimit: 65536)
    let text = String(decoding: message.bytes, as: UTF8.self)
    if text.hasPrefix("error ") { throw CommandError(String(text.dropFirst(6))) }
    guard text.hasPrefix(word) else {
      throw CommandError("the process that sets the network card up went away")
    }
    return String(text.dropFirst(word.count + 1))
  }

  // MARK: - Rules as arguments

  /// "tcp6,queue,context,source address or -,port or -,destination address or -,port or -"
  static func encode(_ rule: SteeringRule) -> String {
    func text<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "-" }
    return [
      text(rule.transport), "\(rule.queue)", "\(rule.context)", text(rule.source.address),
      text(rule.source.port), text(rule.destination.address), text(rule.destination.port),
    ].joined(separator: ",")
  }

  static func decode(_ text: String) throws -> SteeringRule {
    let fields = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let transports: [String: SteeringRule.Transport] = [
      "tcp4": .tcp4, "udp4": .udp4, "tcp6": .tcp6, "udp6": .udp6,
    ]
    guard fields.count == 7, let transport = transports[fields[0]], let queue = UInt32(fields[1]),
      let context = UInt32(fields[2])
    else { throw CommandError("no rule: \(text)") }
    func endpoint(_ address: String, _ port: String) -> SteeringRule.Endpoint {
      SteeringRule.Endpoint(address: IPAddress(address), port: UInt16(port))
    }
    return SteeringRule(
      transport, source: endpoint(fields[3], fields[4]),
      destination: endpoint(fields[5], fields[6]), queue: queue, context: context)
  }
}
