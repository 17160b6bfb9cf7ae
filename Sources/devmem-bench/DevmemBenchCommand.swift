// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemBench
import Glibc

/// The program behind `make bench` and `make check`; no product.
@main
struct DevmemBenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devmem-bench",
    abstract: "Measure the page pool and the allocator beneath it.",
    discussion: """
      Times are medians of runs that are interleaved with those of the other cases. They compare \
      cases of one run; two runs, or two machines, are compared by instructions.
      """)

  @Option(help: ArgumentHelp("Only cases with this in their names.", valueName: "text"))
  var filter: String?

  @Option(help: ArgumentHelp("Runs of each case.", valueName: "n"))
  var repeats = 15

  @Flag(help: "Count instructions as well (runs each case under valgrind).")
  var instructions = false

  @Flag(help: "Measure what 1 GiB of device memory costs in records and tables, and end.")
  var footprint = false

  @Flag(help: "List the cases and end.")
  var list = false

  @Flag(help: "Print one JSON array on the last line of standard output.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Count instructions alone, and fail where a file allows fewer.", valueName: "path"))
  var thresholds: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Run a case's loop once, that many times.", visibility: .hidden))
  var loop: [String] = []

  func validate() throws {
    guard (1...100_000).contains(repeats) else {
      throw ValidationError("--repeats \(repeats): use 1 to 100000.")
    }
    guard !BenchCase.matching(filter).isEmpty else {
      throw ValidationError("--filter \(filter ?? ""): no case has that in its name; see --list.")
    }
    if !loop.isEmpty { _ = try parsedLoop() }
  }

  func run() throws {
    if !loop.isEmpty {
      let (benchCase, count) = try parsedLoop()
      try benchCase.run(count: count)
    } else if list {
      try Output.write(BenchReport.list(of: BenchCase.matching(filter)))
    } else if footprint {
      try Output.write(BenchReport.text(of: try Footprint.measure()))
    } else if let thresholds {
      guard try ThresholdCheck.run(file: thresholds, filter: filter) else {
        throw ExitCode.failure
      }
    } else {
      try measure()
    }
  }

  private func measure() throws {
    let cases = BenchCase.matching(filter)
    var results = try BenchRunner(repeatCount: repeats).run(cases, progress: Self.show)
    if instructions {
      let counter = try InstructionCounter(arguments: ["--loop"])
      for position in results.indices {
        Self.show("counting \(results[position].name)")
        results[position].instructionsPerOp = try counter.count(cases[position])
      }
    }
    Self.show("")
    let report = BenchReport(results: results)
    try Output.write(json ? report.json + "\n" : report.table)
  }

  /// The step that is under way, on one line for a person who waits.
  private static func show(_ step: String) {
    guard isatty(STDERR_FILENO) == 1 else { return }
    try? Output.write("\r\u{1B}[K\(step)", to: STDERR_FILENO)
  }

  private func parsedLoop() throws -> (BenchCase, Int) {
    guard loop.count == 2, let count = Int(loop[1]), (1...1 << 40).contains(count),
      let benchCase = BenchCase.all.first(where: { $0.name == loop[0] })
    else { throw ValidationError("--loop: give the name of a case and a count.") }
    return (benchCase, count)
  }
}

/// Standard output, where a result that does not get there is a failure.
enum Output {
  static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) throws {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno != EINTR { throw BenchError.writing(errnoText()) }
      rest = rest.dropFirst(max(0, count))
    }
  }

  static func writeLine(_ text: String) throws { try write(text + "\n") }
}

/// What the C library says of the last failure.
func errnoText() -> String { unsafe String(cString: strerror(errno)) }
