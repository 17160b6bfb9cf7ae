// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Counts instructions, exactly, by running a case twice under valgrind's callgrind with different
/// numbers of operations: the difference has nothing of the start-up in it.
public final class InstructionCounter {
  private let arguments: [String]
  private let folder: String

  deinit {
    unsafe unlink(program)
    unsafe rmdir(folder)
  }

  /// A counter that runs a copy of this program's own file.
  ///
  /// A copy without debug information, which valgrind reads first and older ones stumble over.
  /// - Parameter arguments: those with which the program runs one loop once, e.g. `--loop`; a
  ///   case's name and a number of operations are appended.
  /// - Throws: ``BenchError/counting(_:)``.
  public init(arguments: [String]) throws {
    self.arguments = arguments
    var template = Array("/tmp/devmem-bench-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else {
      throw BenchError.counting("no temporary folder could be made in /tmp")
    }
    folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    guard let own = ChildProcess.ownPath else {
      throw BenchError.counting("/proc/self/exe does not say which program this is")
    }
    let result = try ChildProcess.output(of: ["strip", "--strip-debug", "-o", program, own])
    guard result.status == 0 else {
      throw BenchError.counting("strip failed (Debian: binutils):\n\(result.text)")
    }
  }

  private var program: String { folder + "/program" }

  /// Instructions per operation, or nil for a case that has no exact number.
  /// - Throws: ``BenchError/counting(_:)`` when valgrind is missing or failed.
  public func count(_ benchCase: BenchCase) throws -> Double? {
    guard let range = benchCase.instructionRange else { return nil }
    let few = try total(benchCase, range.lowerBound)
    let many = try total(benchCase, range.upperBound)
    let each = Double(many - few) / Double(range.count)
    // Start-up differs by some hundred instructions from run to run.
    return (each * 20).rounded() / 20
  }

  private func total(_ benchCase: BenchCase, _ count: Int) throws -> Int {
    let output = try ChildProcess.output(
      of: ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program]
        + arguments + [benchCase.name, String(count)])
    guard let total = Self.collected(in: output.text), output.status == 0 else {
      throw BenchError.counting(
        "valgrind could not count \(benchCase.name) (Debian: valgrind):\n\(output.text)")
    }
    return total
  }

  /// The number behind "Collected :".
  static func collected(in text: String) -> Int? {
    for line in text.split(separator: "\n") where line.contains("Collected :") {
      return line.split(separator: " ").last.flatMap { Int($0) }
    }
    return nil
  }
}
