// SPDX-License-Identifier: Apache-2.0

import DevmemBench
import Histogram

/// The distribution of the time that an allocation takes.
struct LatencyReport {
  let count: Int
  /// Name and nanoseconds.
  let percentiles: [(name: String, nanoseconds: Double)]
  /// What reading the time stamp counter twice takes, which is in the others.
  let overhead: Double

  static func measure(count: Int) throws -> LatencyReport {
    let latency = AllocationLatency()
    // In tenths of a nanosecond, because a fast allocation takes only a few; up to ten seconds.
    var histogram = Histogram<UInt32>(
      highestTrackableValue: 100_000_000_000, numberOfSignificantValueDigits: .three)
    // For the caches.
    try latency.sample(count: count / 10 + 1) { _ in }
    try latency.sample(count: count) { cycles in
      _ = histogram.record(UInt64(Double(cycles) * 10 / latency.cyclesPerNanosecond))
    }
    let overhead = Double(latency.overheadCycles) / latency.cyclesPerNanosecond
    return LatencyReport(
      count: count,
      percentiles: [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)].map {
        ($0.0, Double(histogram.valueAtPercentile($0.1)) / 10)
      },
      overhead: (overhead * 10).rounded() / 10)
  }

  var json: String {
    let members = percentiles.map { "\"\($0.name)\":\($0.nanoseconds)" }.joined(separator: ",")
    return "{\"case\":\"allocate_cross_thread\",\"count\":\(count),\(members),"
      + "\"overhead\":\(overhead)}"
  }

  var text: String {
    let lines = percentiles.map { entry in
      let padding = String(repeating: " ", count: 7 - entry.name.count)
      return "  \(entry.name)\(padding)\(entry.nanoseconds)\n"
    }
    return "Nanoseconds of an allocation while another thread returns, \(count) of them:\n"
      + lines.joined()
      + "Reading the time stamp counter twice, which is in them, takes \(overhead)."
  }
}
