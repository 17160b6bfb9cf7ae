// SPDX-License-Identifier: Apache-2.0

/// A JSON document that keeps the order of its keys, so that reports read the same on every run.
///
/// Written by hand because Foundation's encoder would be the only use of Foundation in the
/// command line, and loading it takes longer than most subcommands run.
enum JSONValue: Sendable, Equatable {
  case string(String)
  case integer(Int)
  case number(Double)
  case boolean(Bool)
  case array([JSONValue])
  case object([(key: String, value: JSONValue)])
  case null

  static func == (left: JSONValue, right: JSONValue) -> Bool { left.text == right.text }

  /// The document on one line, without a newline at its end.
  var text: String {
    switch self {
    case .string(let value): Self.quoted(value)
    case .integer(let value): String(value)
    // JSON has no spelling for infinities and NaN.
    case .number(let value): value.isFinite ? String(value) : "null"
    case .boolean(let value): value ? "true" : "false"
    case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { Self.quoted($0.key) + ":" + $0.value.text }.joined(separator: ",") + "}"
    case .null: "null"
    }
  }

  private static func quoted(_ value: String) -> String {
    var text = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case let control where control.value < 0x20:
        let digits = String(control.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }
}
