// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Glibc

/// A program that runs beside the test, with its output in files, so that no pipe can fill up.
public final class ToolProcess {
  /// What a run left behind.
  public struct Output: Sendable {
    /// The exit status; for a process that was killed, the signal's number + 128.
    public let status: Int32
    /// All of it.
    public let standardOutput: String
    /// All of it.
    public let standardError: String
  }

  /// The process has not said what was waited for.
  public struct Silence: Error, CustomStringConvertible {
    /// What was waited for, and what came instead.
    public let description: String
  }

  /// The process, for those who want to disturb it.
  public let process: Process
  private let folder: URL

  /// Starts it.
  ///
  /// - Parameter standardOutput: where its output goes instead of the file.
  public init(
    _ executable: URL, _ arguments: [String], standardInput: FileHandle = .nullDevice,
    standardOutput: FileHandle? = nil
  ) throws {
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("\(executable.lastPathComponent)-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    process = Process()
    process.executableURL = executable
    process.arguments = arguments
    process.standardInput = standardInput
    let file = try Self.file(folder, "out")
    process.standardOutput = standardOutput ?? file
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

  /// Starts it with these bytes as its standard input.
  public convenience init(_ executable: URL, _ arguments: [String], input: Data) throws {
    // A file without a name: gone when the process is.
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("input-\(UUID().uuidString)")
    try input.write(to: path)
    defer { try? FileManager.default.removeItem(at: path) }
    try self.init(executable, arguments, standardInput: try FileHandle(forReadingFrom: path))
  }

  /// Waits until its standard error has the text.
  ///
  /// - Throws: ``Silence`` when it ends before, or has not said it for a minute.
  public func waitForError(_ text: String) throws {
    for _ in 0..<1200 {
      let running = process.isRunning
      let said = try self.text("err")
      if said.contains(text) { return }
      if !running {
        throw Silence(description: "ended without saying \"\(text)\", but: \(said)")
      }
      usleep(50_000)
    }
    throw Silence(description: "has not said \"\(text)\", but: \(try self.text("err"))")
  }

  /// Waits for its end.
  public func wait() throws -> Output {
    process.waitUntilExit()
    defer { try? FileManager.default.removeItem(at: folder) }
    let signal = process.terminationReason == .uncaughtSignal
    return Output(
      status: process.terminationStatus + (signal ? 128 : 0), standardOutput: try text("out"),
      standardError: try text("err"))
  }

  /// Starts it and waits for its end.
  public static func run(_ executable: URL, _ arguments: [String]) throws -> Output {
    try ToolProcess(executable, arguments).wait()
  }

  private func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: folder.appendingPathComponent(name)), as: UTF8.self)
  }

  private static func file(_ folder: URL, _ name: String) throws -> FileHandle {
    let url = folder.appendingPathComponent(name)
    _ = FileManager.default.createFile(atPath: url.path, contents: nil)
    return try FileHandle(forWritingTo: url)
  }
}
