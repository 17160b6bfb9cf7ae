// SPDX-License-Identifier: Apache-2.0

/// One thing that is measured.
///
/// Named as in the kernel's page pool benchmark (lib/bench_page_pool_simple.c,
/// tools/testing/selftests/net/bench) where it has the same one.
public struct BenchCase: Sendable {
  /// A name for the command line and the reports, e.g. `fast_path`.
  public let name: String
  /// What one operation is.
  public let summary: String
  /// Operations that a loop does at a time: counts are multiples of it.
  let step: Int
  /// How long a run of the loop should take.
  let runTime: Duration
  /// Runs at most, for what takes seconds.
  let repeatLimit: Int
  /// The two numbers of operations between which instructions are counted; nil when they depend on
  /// how threads interleave, or are not the library's but the kernel's.
  let instructionRange: Range<Int>?
  /// The name of the case whose time this one's is told as a part of.
  let comparedTo: String?
  /// Makes what the loop needs, on the thread that is going to run it.
  let prepare: @Sendable () throws -> Loop

  /// A loop over state that was made once.
  struct Loop {
    /// Runs the operation `count` times; returns how often it worked out.
    let run: (_ count: Int) throws -> Int
    /// What the measured numbers depend on, for the report.
    var note: String?
    /// Called after each run, and not measured.
    let tidy: () -> Void

    init(
      note: String? = nil, tidy: @escaping () -> Void = {},
      _ run: @escaping (_ count: Int) throws -> Int
    ) {
      self.run = run
      self.note = note
      self.tidy = tidy
    }

    /// Runs the operation `count` times.
    /// - Throws: ``BenchError`` when an operation did not work out.
    func checked(_ count: Int, of name: String) throws {
      let done = try run(count)
      guard done == count else { throw BenchError.stopped(name, after: done, of: count) }
    }
  }

  init(
    _ name: String, _ summary: String, step: Int = 1, runTime: Duration = .milliseconds(4),
    repeatLimit: Int = .max, instructionRange: Range<Int>? = 1024..<66_560,
    comparedTo: String? = nil,
    prepare: @escaping @Sendable () throws -> Loop
  ) {
    self.name = name
    self.summary = summary
    self.step = step
    self.runTime = runTime
    self.repeatLimit = repeatLimit
    self.instructionRange = instructionRange
    self.comparedTo = comparedTo
    self.prepare = prepare
  }

  /// Whether instructions can be counted.
  public var isCountable: Bool { instructionRange != nil }

  /// Runs the loop once, `count` operations. For counting its instructions from outside.
  /// - Throws: what making the state throws; ``BenchError``.
  public func run(count: Int) throws {
    try prepare().checked(count, of: name)
  }
}

/// Why a benchmark stopped.
public enum BenchError: Error, CustomStringConvertible {
  /// An operation did not do what it should: there was no buffer, or not the right one.
  case stopped(String, after: Int, of: Int)
  /// Instructions could not be counted.
  case counting(String)
  /// A result did not get to where it was sent.
  case writing(String)

  /// What happened.
  public var description: String {
    switch self {
    case .stopped(let name, let after, let count):
      "\(name): operation \(after) of \(count) did not succeed"
    case .counting(let what): what
    case .writing(let cause): "writing to standard output: \(cause)"
    }
  }
}

extension BenchCase {
  /// Every case, in the order of the report.
  public static let all: [BenchCase] =
    baselines + pool + windows + bulks + kinds + threads + poolsOfOneBinding + allocators
    + creations + populations

  /// The cases whose names have `filter` in them; an exact name means that one alone.
  public static func matching(_ filter: String?) -> [BenchCase] {
    guard let filter else { return all }
    let exact = all.filter { $0.name == filter }
    return exact.isEmpty ? all.filter { $0.name.contains(filter) } : exact
  }
}
