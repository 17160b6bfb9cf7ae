// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("Thresholds")
struct ThresholdsTests {
  private static let all = BenchCase.all.filter(\.needsThreshold)
    .map { "\($0.name) 10 f\n" }.joined()

  @Test("comments and empty lines mean nothing")
  func reads() throws {
    let thresholds = try Thresholds(text: "# case budget\n\n" + Self.all)
    #expect(thresholds.entries.first?.budget == 10)
    #expect(thresholds.entries.count == BenchCase.all.filter(\.needsThreshold).count)
  }

  @Test(
    "a line that cannot be held is refused",
    arguments: [
      "fast_path", "fast_path ten f", "fast_path 0 f", "nothing 10 f", "many_returners_2 10 f",
      "fast_path 10 f\nfast_path 11 f",
    ])
  func refuses(text: String) {
    #expect(throws: BenchError.self) { try Thresholds(text: text) }
  }

  @Test("a case of the pool without a threshold is refused")
  func complete() {
    let text = Self.all.split(separator: "\n").dropFirst().joined(separator: "\n")
    #expect(throws: BenchError.self) { try Thresholds(text: text) }
  }

  @Test("one instruction more is above, the same is exact, less than 5 was optimised away")
  func judges() {
    #expect(Thresholds.verdict(29, budget: 28) == .above)
    #expect(Thresholds.verdict(28.05, budget: 28) == .above)
    #expect(Thresholds.verdict(28, budget: 28) == .exact)
    #expect(Thresholds.verdict(27.95, budget: 28) == .exact)
    #expect(Thresholds.verdict(27, budget: 28) == .below)
    #expect(Thresholds.verdict(3, budget: 28) == .implausible)
  }

  @Test("callgrind's total is found in what it says")
  func collected() {
    let text = "==12== Events    : Ir\n==12== Collected : 14825509\n==12== \n"
    #expect(InstructionCounter.collected(in: text) == 14_825_509)
    #expect(InstructionCounter.collected(in: "==12== Command: x") == nil)
  }
}
