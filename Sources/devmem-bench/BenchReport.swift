// SPDX-License-Identifier: Apache-2.0

import DevmemBench

/// What was measured, as a table for people or an array for programs.
struct BenchReport {
  let results: [BenchResult]

  /// On one line. Names of cases need no escapes.
  var json: String {
    let objects = results.map { result in
      var members = [
        "\"case\":\"\(result.name)\"", "\"nsPerOp\":\(Self.rounded(result.nsPerOp))",
        "\"nsMin\":\(Self.rounded(result.nsMin))", "\"nsMax\":\(Self.rounded(result.nsMax))",
        "\"cyclesPerOp\":\(Self.rounded(result.cyclesPerOp))",
      ]
      if let count = result.instructionsPerOp { members.append("\"instructionsPerOp\":\(count)") }
      if let ratio = result.ratio, let other = result.comparedTo {
        members.append("\"ratio\":\(Self.rounded(ratio))")
        members.append("\"comparedTo\":\"\(other)\"")
      }
      return "{\(members.joined(separator: ","))}"
    }
    return "[\(objects.joined(separator: ","))]"
  }

  var table: String {
    let hasInstructions = results.contains { $0.instructionsPerOp != nil }
    var rows = [["case", "ns", "min", "max", "cycles"] + (hasInstructions ? ["instructions"] : [])]
    for result in results {
      let times = [result.nsPerOp, result.nsMin, result.nsMax, result.cyclesPerOp]
      var row = [result.name] + times.map { Self.text($0, decimals: 1) }
      if hasInstructions {
        row.append(result.instructionsPerOp.map { Self.text($0, decimals: 2) } ?? "-")
      }
      rows.append(row)
    }
    var text = Self.aligned(rows)
    for result in results {
      if let ratio = result.ratio, let other = result.comparedTo {
        text += "\(result.name): \(Self.text(ratio, decimals: 2)) of \(other)\n"
      }
      if let note = result.note { text += "\(result.name): \(note)\n" }
    }
    return text
      + "Per operation; median, fastest and slowest of interleaved runs. Cycles are those of the"
      + " time stamp counter.\n"
  }

  /// The names of cases, with what an operation is.
  static func list(of cases: [BenchCase]) -> String {
    let width = cases.map(\.name.count).max() ?? 0
    return cases.map { benchCase in
      benchCase.name + String(repeating: " ", count: width + 2 - benchCase.name.count)
        + benchCase.summary + "\n"
    }.joined()
  }

  static func text(of footprint: Footprint) -> String {
    "\(footprint.byteCount) bytes of records and tables for \(footprint.iovCount) IOVs:"
      + " \(text(footprint.bytesPerIOV, decimals: 2)) bytes each\n"
  }

  /// The first column to the left, the others to the right.
  static func aligned(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in
      rows.map { $0[column].count }.max() ?? 0
    }
    return rows.map { row in
      var line = row[0] + String(repeating: " ", count: widths[0] - row[0].count)
      for column in row.indices.dropFirst() {
        line += String(repeating: " ", count: 2 + widths[column] - row[column].count) + row[column]
      }
      return line + "\n"
    }.joined()
  }

  /// Three decimals are finer than any clock here.
  private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

  static func text(_ value: Double, decimals: Int) -> String {
    var scale = 1
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((value * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    return "\(scaled / scale)."
      + String(repeating: "0", count: decimals - fraction.count) + fraction
  }
}
