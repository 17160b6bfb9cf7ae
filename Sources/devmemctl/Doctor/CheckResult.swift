// SPDX-License-Identifier: Apache-2.0

/// What one check found, and the command that would change it.
struct CheckResult: Sendable, Equatable {
  /// `fail` is for what keeps the demo from a real exporter, `warn` for what other features need.
  enum Status: String, Sendable {
    case ok, warn, fail
  }

  let name: String
  let status: Status
  /// One line: the finding, not the advice.
  let summary: String
  /// A shell command; nil when there is nothing to do.
  let fix: String?

  static func ok(_ name: String, _ summary: String) -> CheckResult {
    CheckResult(name: name, status: .ok, summary: summary, fix: nil)
  }

  static func warn(_ name: String, _ summary: String, fix: String) -> CheckResult {
    CheckResult(name: name, status: .warn, summary: summary, fix: fix)
  }

  static func fail(_ name: String, _ summary: String, fix: String) -> CheckResult {
    CheckResult(name: name, status: .fail, summary: summary, fix: fix)
  }

  var json: JSONValue {
    .object([
      ("name", .string(name)), ("status", .string(status.rawValue)),
      ("summary", .string(summary)), ("fix", fix.map { .string($0) } ?? .null),
    ])
  }
}
