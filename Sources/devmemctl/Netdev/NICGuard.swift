// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import DevmemSystem
import Glibc

/// A network card that is set up for device memory as long as this process lives, however it ends:
/// a second process (``NICGuardCommand``) has done it and puts everything back.
///
/// The card's memory has to be unbound by then; the end of the process sees to that as well.
final class NICGuard {
  /// What the card lacks that can be done without.
  let warnings: [String]

  private let interface: NetworkInterface
  private let process: OwnProcess
  private let patience: PeerWait
  private var isReaped = false

  /// Its descriptor becomes readable when the process that keeps the card ends.
  var descriptor: Int32 { process.socket.descriptor.rawValue }

  /// Sets the card up.
  ///
  /// - Parameters:
  ///   - executable: the program that keeps the card; nil for this one.
  ///   - limit: seconds to wait for its answer.
  /// - Throws: `CommandError` with what ``NICSetup`` says; nothing has changed then.
  init(
    _ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule],
    executable: String? = nil, limit: Int = 60
  ) throws {
    var arguments = ["nic-guard", "--interface", interface.name]
    arguments += queues.flatMap { ["--queue", "\($0)"] }
    arguments += rules.flatMap { ["--rule", $0.text] }
    let process = try OwnProcess(arguments, executable: executable)
    self.process = process
    self.interface = interface
    patience = PeerWait(
      name: "the process that sets \(interface) up (\(process.processID))", limit: limit)
    let answer: Answer
    do {
      answer = try Self.answer(process.socket, patience, isInterruptible: true)
    } catch {
      // Our end closes with the throw: it puts back what it has done, and ends. It is not ours to
      // kill.
      throw CommandError(
        "setting \(interface) up: \(error.message)",
        remedy: error.remedy ?? Self.restoreCommand(interface))
    }
    switch answer {
    case .ready(let sentences): warnings = sentences
    case .failed(let reason):
      // It has nothing to put back.
      _ = try patience.waitForEnd(of: process.processID)
      throw CommandError(reason)
    case .gone, .restored:
      let status = try patience.waitForEnd(of: process.processID)
      throw CommandError(
        "the process that sets \(interface) up ended before it was ready, with status \(status)",
        remedy: Self.restoreCommand(interface))
    }
  }

  deinit {
    do {
      try restore()
    } catch {
      Terminal.error.noteLine("Error: \(error)")
    }
  }

  /// Says what the card lacks that can be done without.
  func noteWarnings() {
    for warning in warnings { Terminal.error.noteLine("warning: \(warning)") }
  }

  /// Puts everything back and waits for it. A second call does nothing.
  ///
  /// - Throws: `CommandError` with what ``NICSetup/restore()`` says; where the process that keeps
  ///   the card has gone, with what does it then.
  func restore() throws(CommandError) {
    guard !isReaped else { return }
    isReaped = true
    let answer: Answer
    if (try? process.socket.send(Array("restore".utf8))) == nil {
      answer = .gone
    } else {
      do {
        // Signals do not end this wait: a second one of a kind ends this process, and the other
        // goes on.
        answer = try Self.answer(process.socket, patience, isInterruptible: false)
      } catch {
        throw CommandError("putting \(interface) back: \(error.message)", remedy: byHand)
      }
    }
    _ = try patience.waitForEnd(of: process.processID)
    switch answer {
    case .restored: return
    case .failed(let reason): throw CommandError(reason)
    case .gone, .ready: throw goneError
    }
  }

  /// Runs the body, which unbinds what it binds, and puts the card back, whatever happens. Where
  /// both the body and that fail, both are said, and the body's error is thrown.
  static func keeping<Result>(
    _ cardGuard: NICGuard?, _ body: () throws -> Result
  ) throws -> Result {
    let result: Result
    do {
      result = try body()
    } catch {
      do {
        try cardGuard?.restore()
      } catch let second {
        Terminal.error.noteLine("Error: \(second)")
      }
      throw error
    }
    try cardGuard?.restore()
    return result
  }

  /// Nobody is left who would put the card back.
  var goneError: CommandError {
    CommandError(
      "the process that keeps \(interface) (\(process.processID)) has gone, and nobody puts back"
        + " what it has changed there",
      remedy: byHand)
  }

  /// What puts the card back when this process and the other one are gone.
  var restoreCommand: String { Self.restoreCommand(interface) }

  private var byHand: String { "When the memory is unbound: \(restoreCommand)" }

  private static func restoreCommand(_ interface: NetworkInterface) -> String {
    SystemProcess.asRoot("\(SystemProcess.executablePath) netdev restore \(interface)")
  }

  /// What the other process says.
  enum Answer {
    case ready([String])
    case restored
    case failed(String)
    case gone
  }

  /// The next thing that it says; what makes no sense counts as its end.
  static func answer(
    _ socket: UnixSocket, _ patience: PeerWait, isInterruptible: Bool
  ) throws(CommandError) -> Answer {
    try patience.wait(
      for: socket.descriptor.rawValue, Int16(POLLIN), isInterruptible: isInterruptible)
    let text: String
    do throws(Errno) {
      text = String(decoding: try socket.receive(byteLimit: 65536).bytes, as: UTF8.self)
    } catch {
      return .gone
    }
    if text.hasPrefix("error ") { return .failed(String(text.dropFirst(6))) }
    if text == "restored" { return .restored }
    let lines = text.split(separator: "\n").map(String.init)
    return lines.first == "ready" ? .ready(Array(lines.dropFirst())) : .gone
  }
}
