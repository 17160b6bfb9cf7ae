// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemBench
import Glibc

/// Counts the instructions of each case in a file of thresholds.
enum ThresholdCheck {
  /// Prints a line for each case. False when one is above its budget.
  static func run(file: String, filter: String?) throws -> Bool {
    let thresholds = try Thresholds(text: try contents(of: file))
    let cases = BenchCase.matching(filter)
    let counter = try InstructionCounter(arguments: ["--loop"])
    var isGood = true
    for entry in thresholds.entries {
      guard let benchCase = cases.first(where: { $0.name == entry.name }),
        let count = try counter.count(benchCase)
      else { continue }
      let numbers = "\(entry.name): \(text(count)) instructions, budget \(text(entry.budget))"
      switch Thresholds.verdict(count, budget: entry.budget) {
      case .exact: try Output.writeLine(numbers)
      case .below: try Output.writeLine("\(numbers): lower the budget in \(file)")
      case .above:
        try Output.writeLine("\(numbers): ABOVE")
        isGood = false
      case .implausible:
        try Output.writeLine("\(numbers): too few to be true, the loop was optimised away")
        isGood = false
      }
    }
    return isGood
  }

  private static func text(_ count: Double) -> String { BenchReport.text(count, decimals: 2) }

  private static func contents(of path: String) throws -> String {
    guard let file = unsafe fopen(path, "r") else {
      throw ValidationError("--thresholds \(path): \(errnoText())")
    }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, file)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += buffer[..<count]
    }
  }
}
