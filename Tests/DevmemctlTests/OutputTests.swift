// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// Results that do not get to where they were sent, and standard streams that are not there.
@Suite struct OutputTests {
  static let commands = [
    ["demo", "--exporter", "memory-file", "--bytes", "64K"],
    ["demo", "--exporter", "memory-file", "--bytes", "64K", "--json"], ["doctor"],
    ["doctor", "--json"], ["netdev", "list", "--json"], ["netdev", "list", "lo"],
    ["netdev", "pools"], ["--help"], ["--version"], ["demo", "--help"],
  ]

  @Test("--version is the version that the changelog begins with")
  func version() throws {
    let folder = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized
    let changelog = try String(
      contentsOf: folder.appendingPathComponent("CHANGELOG.md"), encoding: .utf8)
    let title = try #require(changelog.split(separator: "\n").first { $0.hasPrefix("## ") })
    let newest = try #require(title.dropFirst(3).split { $0 == "," || $0 == " " }.first)
    let output = try DevmemctlProcess.run(["--version"])
    #expect(output.status == 0)
    #expect(output.standardOutput == "\(newest)\n")
    #expect(newest.wholeMatch(of: /[0-9]+\.[0-9]+\.[0-9]+/) != nil)
  }

  /// Runs the tool with redirections of a shell's.
  static func run(_ arguments: [String], _ redirections: String) throws -> ToolProcess.Output {
    try ToolProcess.run(
      URL(fileURLWithPath: "/bin/sh"),
      ["-c", "exec \"$0\" \"$@\" \(redirections)", DevmemctlProcess.executable.path] + arguments)
  }

  @Test("a result that a full disk does not take is an error that says so", arguments: commands)
  func full(command: [String]) throws {
    let output = try Self.run(command, ">/dev/full")
    if output.standardError.contains("kernelUnsupported") { return }
    #expect(output.status == 1)
    #expect(output.standardError.contains("standard output: ENOSPC"), "\(output.standardError)")
    #expect(output.standardError.contains("df -h"))
  }

  @Test("so is one whose standard output was closed from the start", arguments: commands)
  func closed(command: [String]) throws {
    let output = try Self.run(command, ">&-")
    if output.standardError.contains("kernelUnsupported") { return }
    #expect(output.status == 1)
    #expect(output.standardError.contains("standard output: EBADF"), "\(output.standardError)")
  }

  @Test(
    "a demo does its job without the streams that it does not need",
    arguments: ["<&-", "2>&-", "<&- 2>&-"])
  func partly(redirections: String) throws {
    let output = try Self.run(
      ["demo", "--exporter", "memory-file", "--bytes", "4M", "--json"], redirections)
    #expect(output.status == 0)
    let json = try output.json()
    #expect(json["sha256Sent"] as? String == json["sha256SeenByImporter"] as? String)
    #expect(output.standardOutput.split(separator: "\n").count == 1)
  }

  @Test("without any stream it fails, and does not write into what has their numbers")
  func none() throws {
    let output = try Self.run(
      ["demo", "--exporter", "memory-file", "--bytes", "4M"], "<&- >&- 2>&-")
    #expect(output.status == 1)
  }

  @Test("closed streams are opened on what takes nothing: no file gets their numbers")
  func numbers() async {
    await #expect(processExitsWith: .success) {
      for number in 0...2 as ClosedRange<Int32> { close(number) }
      StandardStreams.open()
      for number in 0...2 as ClosedRange<Int32> {
        precondition(fcntl(number, F_GETFD) == 0, "inherited by children")
      }
      var byte: UInt8 = 0
      precondition(unsafe read(0, &byte, 1) == -1 && errno == EBADF)
      precondition(unsafe write(1, &byte, 1) == -1 && errno == EBADF)
      precondition(unsafe write(2, &byte, 1) == -1 && errno == EBADF)
      let file = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
      precondition(file > 2)
    }
  }
}
