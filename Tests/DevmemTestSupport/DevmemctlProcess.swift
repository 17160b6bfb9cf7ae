// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Glibc

/// The built `devmemctl`, run as a user would.
public struct DevmemctlProcess {
  /// What a run left behind.
  public struct Output: Sendable {
    /// The exit status; for a process that was killed, the signal's number + 128.
    public let status: Int32
    /// All of it.
    public let standardOutput: String
    /// All of it.
    public let standardError: String

    /// The last line of standard output as a JSON object.
    public func json() throws -> [String: Any] {
      let lines = standardOutput.dropLast().split(
        separator: "\n", omittingEmptySubsequences: false)
      guard standardOutput.hasSuffix("\n"), let line = lines.last,
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      else { throw NoJSON(standardOutput: standardOutput, standardError: standardError) }
      return object
    }
  }

  /// Standard output did not end in an object.
  public struct NoJSON: Error {
    /// What there was instead.
    public let standardOutput: String
    /// And on standard error.
    public let standardError: String
  }

  /// Where it is: the package manager puts it beside the test bundle.
  public static var executable: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("devmemctl")
  }

  /// The process, for those who want to disturb it.
  public let process: Process
  private let folder: URL

  /// Starts it. Output goes to files, so that no pipe can fill up.
  public init(_ arguments: [String], standardInput: FileHandle = .nullDevice) throws {
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("devmemctl-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    process = Process()
    process.executableURL = Self.executable
    process.arguments = arguments
    process.standardInput = standardInput
    process.standardOutput = try Self.file(folder, "out")
    process.standardError = try Self.file(folder, "err")
    // A child inherits the signals that the calling thread blocks, and threads that run tests block
    // nearly all.
    var none = sigset_t()
    var before = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
  }

  /// Waits for its end.
  public func wait() throws -> Output {
    process.waitUntilExit()
    defer { try? FileManager.default.removeItem(at: folder) }
    func text(_ name: String) throws -> String {
      String(decoding: try Data(contentsOf: folder.appendingPathComponent(name)), as: UTF8.self)
    }
    let signal = process.terminationReason == .uncaughtSignal
    return Output(
      status: process.terminationStatus + (signal ? 128 : 0), standardOutput: try text("out"),
      standardError: try text("err"))
  }

  /// Starts it and waits for its end.
  public static func run(_ arguments: [String]) throws -> Output {
    try DevmemctlProcess(arguments).wait()
  }

  private static func file(_ folder: URL, _ name: String) throws -> FileHandle {
    let url = folder.appendingPathComponent(name)
    _ = FileManager.default.createFile(atPath: url.path, contents: nil)
    return try FileHandle(forWritingTo: url)
  }
}
