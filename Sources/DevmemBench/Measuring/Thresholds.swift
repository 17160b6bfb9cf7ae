// SPDX-License-Identifier: Apache-2.0

/// How many instructions each case may cost: the lines of a file, `case budget function`.
public struct Thresholds: Sendable {
  /// One line.
  public struct Entry: Sendable, Equatable {
    /// The case's name.
    public let name: String
    /// Instructions per operation at most.
    public let budget: Double
  }

  /// The lines in their order.
  public let entries: [Entry]

  /// Reads the lines; those that begin with # and empty ones mean nothing.
  /// - Throws: ``BenchError/counting(_:)`` for a line that is no threshold, a case that does not
  ///   exist or cannot be counted, and a countable case of the pool or the allocator that has no
  ///   line.
  public init(text: String) throws {
    var entries: [Entry] = []
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      guard !words.isEmpty else { continue }
      guard words.count == 3, let budget = Double(words[1]), budget > 0 else {
        throw BenchError.counting("not a threshold (case, instructions, function): \(line)")
      }
      let name = String(words[0])
      guard BenchCase.all.contains(where: { $0.name == name && $0.isCountable }) else {
        throw BenchError.counting("\(name): no case of that name has countable instructions")
      }
      guard !entries.contains(where: { $0.name == name }) else {
        throw BenchError.counting("\(name): has two thresholds")
      }
      entries.append(Entry(name: name, budget: budget))
    }
    for benchCase in BenchCase.all where benchCase.needsThreshold {
      guard entries.contains(where: { $0.name == benchCase.name }) else {
        throw BenchError.counting("\(benchCase.name): has no threshold")
      }
    }
    self.entries = entries
  }

  /// What a count means against its budget.
  public enum Verdict: Sendable {
    /// More than the budget, which is the failure that the file is there for.
    case above
    /// As many as the budget, give or take the rounding.
    case exact
    /// Fewer: the budget can be lowered.
    case below
    /// Less than a quarter: too few for the case to have done what it says, the loop was optimised
    /// away.
    case implausible
  }

  /// Judges a count.
  public static func verdict(_ count: Double, budget: Double) -> Verdict {
    if count > budget { return .above }
    if count < budget / 4 { return .implausible }
    // Counts come in steps of a twentieth: one step to either side is the rounding's.
    return count < budget - 0.1 ? .below : .exact
  }
}

extension BenchCase {
  /// The baselines are the machine's, and creating touches the kernel.
  var needsThreshold: Bool {
    isCountable && !Self.baselines.contains { $0.name == name }
      && !Self.creations.contains { $0.name == name }
  }
}
