// SPDX-License-Identifier: Apache-2.0

import DevmemBench
import Glibc
import Histogram

/// Prints how long single allocations take while another thread returns the buffers.
@main
struct DevmemLatency {
  static let usage = "usage: devmem-latency [--count N] [--json]\n"

  static func main() throws {
    var count = 2_000_000
    var isJSON = false
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "--json": isJSON = true
      case "--count":
        guard let number = arguments.popFirst().flatMap({ Int($0) }), number > 0 else { refuse() }
        count = number
      case "--help", "-h":
        print(usage, terminator: "")
        return
      default: refuse()
      }
    }
    let report = try LatencyReport.measure(count: count)
    print(isJSON ? report.json : report.text)
  }

  private static func refuse() -> Never {
    _ = unsafe usage.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
    exit(EX_USAGE)
  }
}
