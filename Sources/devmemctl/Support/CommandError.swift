// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

/// Why a subcommand stopped: one line, and the way out where there is one.
struct CommandError: Error, CustomStringConvertible {
  let message: String
  let remedy: String?

  init(_ message: String, remedy: String? = nil) {
    self.message = message
    self.remedy = remedy
  }

  /// A system call failed: what was being done, the errno, and the way out that it has.
  init(_ operation: String, _ errno: Errno, remedy: String? = nil) {
    self.init("\(operation): \(errno)", remedy: remedy ?? Self.remedy(for: errno))
  }

  var description: String { remedy.map { "\(message)\n  fix: \($0)" } ?? message }

  /// Runs a system call; its errno becomes an error that says what was being done.
  static func wrapping<Result: ~Copyable>(
    _ operation: @autoclosure () -> String, remedy: @autoclosure () -> String? = nil,
    _ body: () throws(Errno) -> Result
  ) throws(CommandError) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw CommandError(operation(), error, remedy: remedy())
    }
  }

  /// Output that did not get to where it was sent.
  static func writing(to name: String, _ errno: Errno) -> CommandError {
    let remedy: String? =
      switch errno {
      case .ENOSPC: "The disk is full: df -h shows which; free space or write elsewhere."
      case .EDQUOT: "The quota is used up: quota -s shows it; free space or write elsewhere."
      case .EFBIG: "Files may not grow that large: ulimit -f unlimited"
      case .EBADF: "It was closed when this program started: redirect it to a file or a pipe."
      default: nil
      }
    return CommandError("writing to \(name)", errno, remedy: remedy)
  }

  /// Threads of the runtime open descriptors when they first need them, and end the process where
  /// they cannot: too few are said before.
  static func requireDescriptors() throws {
    guard let limit = try SystemProcess.openFileLimit(), limit < 32 else { return }
    throw CommandError("needing some 32 descriptors where \(limit) are allowed", .EMFILE)
  }

  /// The way out of errnos that mean the same wherever they come from.
  static func remedy(for errno: Errno) -> String? {
    switch errno {
    case .EMFILE: "This process may not open more files: ulimit -n 4096"
    case .ENFILE:
      "The system's limit of open files: echo 1048576 | sudo tee /proc/sys/fs/file-max"
    case .ENETUNREACH, .EHOSTUNREACH, .ENETDOWN:
      "No way leads there from this network namespace: ip route; ip -br link"
    case .EADDRNOTAVAIL: "No interface has that address: ip -br address"
    case .EADDRINUSE: "Who uses it: ss -lntp"
    case .EAFNOSUPPORT: "This kernel has that family of addresses switched off (ipv6.disable=1?)."
    case .ENOMEM, .ENOBUFS: "Free memory, or raise the limit: ulimit -v unlimited"
    case .EAGAIN: "No more processes or threads: ulimit -u shows the limit"
    case .EACCES, .EPERM: "Run it with sudo."
    case .ENODEV: "The interfaces of this network namespace: ip -br link"
    default: nil
    }
  }
}
