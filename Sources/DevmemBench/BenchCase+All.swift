// SPDX-License-Identifier: Apache-2.0

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
