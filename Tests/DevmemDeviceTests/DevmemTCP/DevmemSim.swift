// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Testing

/// A pair of software NICs (Tests/KernelModules/devmemsim) while a suite runs that asks for it with
/// the trait ``onDevmemSim``: loaded and set up before its first test, taken away after its last.
///
/// ``here`` is an interface of this process, ``peer`` one of a network namespace of its own; what
/// one sends the other receives. The kernel's log is looked at by what runs the tests.
struct DevmemSim: SuiteTrait, TestScoping {
  /// One of the two ends.
  struct End: Sendable {
    /// The interface.
    let interface: String
    /// Its addresses.
    let ipv4: String
    let ipv6: String
    /// Where its faults are switched on (Tests/KernelModules/devmemsim/faults.c).
    fileprivate let faults: String

    /// The numeric address of one family.
    func address(isIPv6: Bool) -> String { isIPv6 ? ipv6 : ipv4 }
  }

  static let here = End(
    interface: "dmsim0", ipv4: "10.45.0.1", ipv6: "fd45::1",
    faults: "/sys/kernel/debug/devmemsim/0")
  static let peer = End(
    interface: "dmsim1", ipv4: "10.45.0.2", ipv6: "fd45::2",
    faults: "/sys/kernel/debug/devmemsim/1")
  /// The namespace of ``peer``.
  static let namespace = "dmsim-peer"

  /// What an end can be made to do wrong; each is off at 0.
  enum Fault: String {
    case loseFrames = "rx_drop_every"
    case failAllocations = "alloc_fail_every"
    case delayCompletions = "tx_completion_delay_ms"
  }

  /// Something is missing, or went wrong with a tool.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try Self.script("up")
    do {
      try await function()
    } catch {
      try? Self.script("down")
      throw error
    }
    try Self.script("down")
  }

  /// How to run a command in the namespace of an end.
  static func command(_ arguments: [String], at end: End) -> [String] {
    end.interface == peer.interface ? ["ip", "netns", "exec", namespace] + arguments : arguments
  }

  /// Takes the NICs away, whatever is in use, and sets them up anew.
  ///
  /// - Parameter parameters: of the module: "spreads=0", "rules=0", "queues=8".
  static func reload(_ parameters: String...) throws {
    try script("down")
    try script("up", parameters)
  }

  /// Runs a tool that has to succeed, in the namespace of an end, and returns its output.
  @discardableResult
  static func tool(at end: End = here, _ arguments: String...) throws -> String {
    let output = try ToolProcess.run(
      URL(fileURLWithPath: "/usr/bin/env"), command(arguments, at: end))
    guard output.status == 0 else {
      throw Failure(
        description: "\(arguments.joined(separator: " ")): \(output.status)"
          + " \(output.standardOutput)\(output.standardError)")
    }
    return output.standardOutput
  }

  /// What a variable of the environment says, set by scripts/test-device.sh.
  static func environment(_ name: String) throws -> String {
    guard let value = ProcessInfo.processInfo.environment[name] else {
      throw Failure(description: "\(name) is not set; run these tests with: make test-device")
    }
    return value
  }

  /// Runs a closure with a fault switched on.
  static func with<Result>(
    _ fault: Fault, _ value: Int, at end: End, _ body: () throws -> Result
  ) throws -> Result {
    let path = "\(end.faults)/\(fault.rawValue)"
    try "\(value)".write(toFile: path, atomically: false, encoding: .utf8)
    defer { try? "0".write(toFile: path, atomically: false, encoding: .utf8) }
    return try body()
  }

  /// What `ethtool -S` counts at ``here``.
  static func counters() throws -> [String: Int] {
    var counters: [String: Int] = [:]
    for line in try tool("ethtool", "-S", here.interface).split(separator: "\n") {
      let parts = line.split(separator: ":")
      guard parts.count == 2, let value = Int(parts[1].trimmingCharacters(in: .whitespaces))
      else { continue }
      counters[parts[0].trimmingCharacters(in: .whitespaces)] = value
    }
    return counters
  }

  /// Runs a closure on a thread of the peer's namespace: sockets made there stay there.
  static func atPeer<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws
    -> Result
  {
    let box = ResultBox<Result>()
    let done = DispatchSemaphore(value: 0)
    // Its own thread, because the namespace is the thread's.
    Thread.detachNewThread {
      box.result = Swift.Result {
        try enterNamespace()
        return try body()
      }
      done.signal()
    }
    done.wait()
    return try box.result!.get()
  }

  private final class ResultBox<Value>: @unchecked Sendable {
    var result: Swift.Result<Value, any Error>?
  }

  private static func enterNamespace() throws {
    let descriptor = unsafe open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Errno(rawValue: errno) }
    defer { close(descriptor) }
    let outcome = ctest_netns_enter(descriptor)
    guard outcome == 0 else { throw Errno(rawValue: -outcome) }
  }

  private static func script(_ verb: String, _ more: [String] = []) throws {
    let path = URL(fileURLWithPath: #filePath).appendingPathComponent(
      "../../../KernelModules/devmemsim.sh"
    ).standardized.path
    let output = try ToolProcess.run(URL(fileURLWithPath: path), [verb] + more)
    guard output.status == 0 else {
      throw Failure(description: "\(path) \(verb): \(output.status) \(output.standardError)")
    }
  }
}

extension Trait where Self == DevmemSim {
  /// The suite's tests run beside a pair of software NICs.
  static var onDevmemSim: DevmemSim { DevmemSim() }
}
