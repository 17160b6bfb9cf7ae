// SPDX-License-Identifier: Apache-2.0

import CBenchSupport

/// Times cases against each other.
///
/// Runs are interleaved (one of each case, then one of each again), because a machine that changes
/// its speed meanwhile then changes it for all of them: ratios hold where times do not.
public struct BenchRunner {
  /// Runs of each case that are counted.
  public var repeatCount: Int

  /// A runner.
  /// - Parameter repeatCount: runs of each case, 1 or more.
  public init(repeatCount: Int = 15) {
    precondition(repeatCount > 0, "at least one run")
    self.repeatCount = repeatCount
  }

  private struct Prepared {
    let benchCase: BenchCase
    let loop: BenchCase.Loop
    let count: Int
    var runs: [BenchResult.Run] = []
  }

  /// Measures the cases on the calling thread.
  /// - Parameter progress: told of each step, for people who wait.
  /// - Throws: what making a case's state throws; ``BenchError``.
  public func run(
    _ cases: [BenchCase], progress: (_ step: String) -> Void = { _ in }
  ) throws -> [BenchResult] {
    var all: [Prepared] = []
    for benchCase in cases {
      progress("preparing \(benchCase.name)")
      let loop = try benchCase.prepare()
      all.append(
        Prepared(
          benchCase: benchCase, loop: loop, count: try Self.calibrate(benchCase, loop)))
    }
    for turn in 0..<repeatCount {
      progress("run \(turn + 1) of \(repeatCount)")
      for position in all.indices where turn < all[position].benchCase.repeatLimit {
        let prepared = all[position]
        all[position].runs.append(
          try Self.time(prepared.benchCase, prepared.loop, prepared.count).run)
      }
    }
    var results = all.map {
      BenchResult(name: $0.benchCase.name, runs: $0.runs, note: $0.loop.note)
    }
    for (position, prepared) in all.enumerated() {
      guard let other = results.first(where: { $0.name == prepared.benchCase.comparedTo })
      else { continue }
      results[position].ratio = results[position].nsPerOp / other.nsPerOp
      results[position].comparedTo = other.name
    }
    return results
  }

  /// The number of operations that takes about as long as a run should. Also warms everything up.
  private static func calibrate(_ benchCase: BenchCase, _ loop: BenchCase.Loop) throws -> Int {
    var count = benchCase.step
    while true {
      // The fastest of three: a thread that has to wait for a processor would end this far too
      // soon.
      var elapsed = try time(benchCase, loop, count).elapsed
      // A run of one operation that takes longer than wished is what it is.
      if elapsed > benchCase.runTime * 20 { return count }
      for _ in 0..<2 { elapsed = min(elapsed, try time(benchCase, loop, count).elapsed) }
      let wished = benchCase.runTime / max(elapsed, .nanoseconds(1))
      guard wished >= 1.5 else { return count }
      count *= Int(min(wished.rounded(.up), 16))
    }
  }

  private static func time(
    _ benchCase: BenchCase, _ loop: BenchCase.Loop, _ count: Int
  ) throws -> (run: BenchResult.Run, elapsed: Duration) {
    let clock = ContinuousClock()
    let start = clock.now
    let firstCycle = cbench_cycles()
    try loop.checked(count, of: benchCase.name)
    let cycles = cbench_cycles() &- firstCycle
    let elapsed = clock.now - start
    loop.tidy()
    let run = BenchResult.Run(
      nsPerOp: elapsed / .nanoseconds(1) / Double(count),
      cyclesPerOp: Double(cycles) / Double(count))
    return (run, elapsed)
  }
}
