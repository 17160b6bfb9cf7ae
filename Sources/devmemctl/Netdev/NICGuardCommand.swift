// SPDX-License-Identifier: Apache-2.0

import Devmem
import ArgumentParser
import DevmemNIC
import DevmemSystem
import Glibc

/// The process that sets a network card up for another one and puts it back when that ends: by
/// asking, by a signal, or by being killed, which a process cannot clean up after itself.
///
/// It shares a Unix socket with the other one; the end of that is what it waits for.
struct NICGuardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nic-guard", abstract: "Keep a network card set up (internal).",
    shouldDisplay: false)

  @Option(help: "The descriptor of the connected Unix socket.")
  var socket: Int32

  @Option(help: "The network card.")
  var interface: String

  @Option(help: "A receive queue that will be bound.")
  var queue: [UInt32]

  @Option(help: "A rule, as NICGuard writes it.")
  var rule: [String] = []

  func validate() throws {
    guard socket >= 0, fcntl(socket, F_GETFD) >= 0 else {
      throw ValidationError("descriptor \(socket) is not open: devmemctl starts this by itself")
    }
  }

  func run() throws {
    // Ctrl-C goes to the whole group of the terminal; this process has to outlive it.
    setsid()
    for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
    let connection = UnixSocket(OwnedFileDescriptor(owning: socket))
    let setup: NICSetup
    do {
      setup = try NICSetup(
        NetworkInterface(named: interface), queues: queue,
        rules: rule.map { text in
          guard let rule = SteeringRule(text: text) else {
            throw ValidationError("no rule: \(text)")
          }
          return rule
        })
    } catch {
      _ = try? connection.send(Array("error \(error)".utf8))
      throw ExitCode.failure
    }
    let lines = ["ready"] + setup.warnings
    _ = try? connection.send(Array(lines.joined(separator: "\n").utf8))
    Self.waitForWord(connection)
    do throws(DevmemError) {
      try Self.restore(setup)
    } catch {
      if (try? connection.send(Array("error \(error)".utf8))) == nil {
        Terminal.error.noteLine("Error: \(error)")
      }
      throw ExitCode.failure
    }
    _ = try? connection.send(Array("restored".utf8))
  }

  /// Waits until the other process asks to restore, or is gone. Whatever else comes says nothing.
  static func waitForWord(_ connection: UnixSocket) {
    let word = Array("restore".utf8)
    while true {
      do throws(Errno) {
        let message = try connection.receive(byteLimit: 64)
        if message.byteCount == 0 || message.bytes == word { return }
      } catch {
        // Longer than a word, or with descriptors: not for us.
        if error != .EMSGSIZE { return }
      }
    }
  }

  /// While a process is being killed, its binding may end later than its socket to us: tries for
  /// ten seconds.
  private static func restore(_ setup: NICSetup) throws(DevmemError) {
    let deadline = Deadline(milliseconds: 10_000)
    while deadline.milliseconds > 0 {
      do throws(DevmemError) {
        return try setup.restore()
      } catch {
        usleep(100_000)
      }
    }
    try setup.restore()
  }
}
