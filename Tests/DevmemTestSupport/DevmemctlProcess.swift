// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// The built `devmemctl`, run as a user would.
public struct DevmemctlProcess {
  /// What a run left behind.
  public typealias Output = ToolProcess.Output

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

  private let tool: ToolProcess

  /// The process, for those who want to disturb it.
  public var process: Process { tool.process }

  /// Starts it. Output goes to files, so that no pipe can fill up.
  public init(_ arguments: [String], standardInput: FileHandle = .nullDevice) throws {
    tool = try ToolProcess(Self.executable, arguments, standardInput: standardInput)
  }

  /// Waits for its end.
  public func wait() throws -> Output { try tool.wait() }

  /// Starts it and waits for its end.
  public static func run(_ arguments: [String]) throws -> Output {
    try DevmemctlProcess(arguments).wait()
  }
}

extension ToolProcess.Output {
  /// The last line of standard output as a JSON object.
  public func json() throws -> [String: Any] {
    let lines = standardOutput.dropLast().split(
      separator: "\n", omittingEmptySubsequences: false)
    guard standardOutput.hasSuffix("\n"), let line = lines.last,
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    else {
      throw DevmemctlProcess.NoJSON(
        standardOutput: standardOutput, standardError: standardError)
    }
    return object
  }
}
