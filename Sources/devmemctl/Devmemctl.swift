// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemSystem
import Glibc

@main
struct Devmemctl: ParsableCommand {
  /// What CHANGELOG.md begins with.
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "devmemctl",
    abstract: "Device memory for networking, on real dma-bufs.",
    version: version,
    subcommands: [
      DemoCommand.self, DoctorCommand.self, NetdevCommand.self,
      RecvCommand.self, SendCommand.self, ImporterCommand.self, NICGuardCommand.self,
    ])

  static func main() {
    StandardStreams.open()
    do {
      var command = try parseAsRoot(Array(SystemProcess.arguments.dropFirst()))
      try command.run()
    } catch {
      end(with: error)
    }
  }

  /// What the argument parser does at the end, but help that nobody got is no success.
  private static func end(with error: any Error) -> Never {
    let code = exitCode(for: error)
    let text = fullMessage(for: error)
    if !text.isEmpty {
      if code == .success {
        do {
          try Terminal.output.writeLine(text)
        } catch {
          Terminal.error.noteLine("Error: \(error)")
          Glibc.exit(ExitCode.failure.rawValue)
        }
      } else {
        Terminal.error.noteLine(text)
      }
    }
    Glibc.exit(code.rawValue)
  }
}
