// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A set of processors (`cpu_set_t`, sched_setaffinity(2)), by the kernel's numbers.
package struct ProcessorSet: Hashable, Sendable {
  /// 64 processors to a word, `csystem_thread_word_count` words.
  fileprivate(set) var words: [UInt64]

  private init() {
    words = Array(repeating: 0, count: Int(csystem_thread_word_count))
  }

  /// One processor, whether it exists or not. One that no kernel can have makes an empty set.
  package init(processor: Int) {
    self.init()
    guard processor >= 0, processor < words.count * 64 else { return }
    words[processor / 64] = 1 << UInt64(processor % 64)
  }

  /// The processors that the first thread of this process may run on: what taskset(1) gave it.
  ///
  /// - Throws: nothing that is expected.
  package static func ofProcess() throws(Errno) -> ProcessorSet {
    var set = ProcessorSet()
    _ = try unsafe set.words.withUnsafeMutableBufferPointer { words throws(Errno) in
      unsafe try system_processProcessors(words)
    }
    return set
  }

  /// The processors of a NUMA node, which may be none. On a kernel without NUMA node 0 has those of
  /// ``ofProcess()``.
  ///
  /// - Throws: `ENODEV` if there is no such node.
  package static func of(_ node: NUMANode) throws(Errno) -> ProcessorSet {
    if !NUMANode.isSupported, node.rawValue == 0 { return try ofProcess() }
    var set = ProcessorSet()
    _ = try unsafe set.words.withUnsafeMutableBufferPointer { words throws(Errno) in
      unsafe try system_numaProcessors(node.rawValue, words)
    }
    return set
  }

  /// Whether no processor is in both.
  package func isDisjoint(with other: ProcessorSet) -> Bool {
    zip(words, other.words).allSatisfy { $0 & $1 == 0 }
  }

  /// Those that are in both.
  package func intersection(_ other: ProcessorSet) -> ProcessorSet {
    var both = ProcessorSet()
    for position in words.indices {
      both.words[position] = words[position] & other.words[position]
    }
    return both
  }

  /// The numbers in the set, ascending.
  package var numbers: [Int] {
    (0..<words.count * 64).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
  }
}

extension ProcessorSet: CustomStringConvertible {
  /// "0-3, 8".
  package var description: String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ", ")
  }
}
