// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import DevmemBench

@Suite("BenchResult")
struct BenchResultTests {
  private func result(_ times: [Double]) -> BenchResult {
    BenchResult(
      name: "x", runs: times.map { BenchResult.Run(nsPerOp: $0, cyclesPerOp: 2 * $0) }, note: nil)
  }

  @Test("the median, the fastest and the slowest run are told apart")
  func odd() {
    let result = result([5, 1, 9])
    #expect(result.nsPerOp == 5)
    #expect(result.nsMin == 1)
    #expect(result.nsMax == 9)
    #expect(result.cyclesPerOp == 10)
  }

  @Test("the median of an even number of runs is the mean of the two in the middle")
  func even() {
    #expect(result([4, 1, 2, 100]).nsPerOp == 3)
  }

  @Test("a case that is compared to another says so where both were run")
  func ratio() throws {
    let slow = BenchCase("slow", "four turns", runTime: .nanoseconds(1)) {
      BenchCase.Loop { count in
        usleep(4000)
        return count
      }
    }
    let fast = BenchCase("fast", "one", runTime: .nanoseconds(1), comparedTo: "slow") {
      BenchCase.Loop { $0 }
    }
    let results = try BenchRunner(repeatCount: 3).run([fast, slow])
    #expect(results[0].comparedTo == "slow")
    #expect(results[0].ratio == results[0].nsPerOp / results[1].nsPerOp)
    #expect(results[1].ratio == nil)
    #expect(try BenchRunner(repeatCount: 1).run([fast])[0].ratio == nil)
  }

  @Test("each case is run as often as asked, but for those that take seconds")
  func repeats() throws {
    let calls = Calls()
    let benchCase = BenchCase("x", "counts calls", runTime: .nanoseconds(1), repeatLimit: 2) {
      BenchCase.Loop { count in
        calls.count += 1
        return count
      }
    }
    _ = try BenchRunner(repeatCount: 5).run([benchCase])
    let calibrationCount = calls.count - 2
    #expect(calibrationCount == 1 || calibrationCount == 3)
  }

  private final class Calls: @unchecked Sendable {
    // Only the test's own thread touches it.
    var count = 0
  }
}
