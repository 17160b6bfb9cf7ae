// SPDX-License-Identifier: Apache-2.0

/// What would change a finding.
enum Remedy: Sendable, Equatable {
  /// A shell command that runs as it stands.
  case command(String)
  /// Sentences, where no command does it.
  case advice(String)
}

/// What one check found, and what would change it.
struct CheckResult: Sendable, Equatable {
  /// `fail` is for what keeps the demo from a real exporter, `warn` for what other features need.
  enum Status: String, Sendable {
    case ok, warn, fail
  }

  let name: String
  let status: Status
  /// One line: the finding, not the advice.
  let summary: String
  /// nil when there is nothing to do.
  let remedy: Remedy?

  /// The remedy, if it is a command.
  var fix: String? { if case .command(let text)? = remedy { text } else { nil } }
  /// The remedy, if it is no command.
  var advice: String? { if case .advice(let text)? = remedy { text } else { nil } }

  static func ok(_ name: String, _ summary: String) -> CheckResult {
    CheckResult(name: name, status: .ok, summary: summary, remedy: nil)
  }

  static func warn(_ name: String, _ summary: String, _ remedy: Remedy) -> CheckResult {
    CheckResult(name: name, status: .warn, summary: summary, remedy: remedy)
  }

  static func warn(_ name: String, _ summary: String, fix: String) -> CheckResult {
    warn(name, summary, .command(fix))
  }

  static func fail(_ name: String, _ summary: String, _ remedy: Remedy) -> CheckResult {
    CheckResult(name: name, status: .fail, summary: summary, remedy: remedy)
  }

  static func fail(_ name: String, _ summary: String, fix: String) -> CheckResult {
    fail(name, summary, .command(fix))
  }

  var json: JSONValue {
    .object([
      ("name", .string(name)), ("status", .string(status.rawValue)),
      ("summary", .string(summary)), ("fix", fix.map { .string($0) } ?? .null),
      ("advice", advice.map { .string($0) } ?? .null),
    ])
  }
}
