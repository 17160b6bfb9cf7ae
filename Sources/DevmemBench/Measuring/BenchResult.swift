// SPDX-License-Identifier: Apache-2.0

/// What one case came to.
public struct BenchResult: Sendable {
  /// The case's name.
  public let name: String
  /// Nanoseconds per operation: the median of the runs.
  public let nsPerOp: Double
  /// The fastest run.
  public let nsMin: Double
  /// The slowest run.
  public let nsMax: Double
  /// Time stamp cycles per operation: the median of the runs.
  public let cyclesPerOp: Double
  /// Instructions per operation, exact; nil when not asked for or not countable.
  public var instructionsPerOp: Double?
  /// Its time divided by that of ``comparedTo`` in the same run; nil for most.
  public internal(set) var ratio: Double?
  /// The case that ``ratio`` is about.
  public internal(set) var comparedTo: String?
  /// What the numbers depend on.
  public let note: String?

  init(name: String, runs: [Run], note: String?) {
    precondition(!runs.isEmpty, "at least one run")
    let times = runs.map(\.nsPerOp).sorted()
    self.name = name
    nsPerOp = Self.median(times)
    nsMin = times[0]
    nsMax = times[times.count - 1]
    cyclesPerOp = Self.median(runs.map(\.cyclesPerOp).sorted())
    self.note = note
  }

  /// One run of a loop.
  struct Run {
    let nsPerOp: Double
    let cyclesPerOp: Double
  }

  static func median(_ sorted: [Double]) -> Double {
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
