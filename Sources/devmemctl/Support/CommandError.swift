// SPDX-License-Identifier: Apache-2.0

/// Why a subcommand stopped: one line, and the way out where there is one.
struct CommandError: Error, CustomStringConvertible {
  let message: String
  let remedy: String?

  init(_ message: String, remedy: String? = nil) {
    self.message = message
    self.remedy = remedy
  }

  var description: String { remedy.map { "\(message)\n  fix: \($0)" } ?? message }
}
