// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// Waits for other processes, and signals that end waits.
@Suite struct WaitingTests {
  /// A program that stands where the process that keeps a card would be.
  private struct Script: ~Copyable {
    let path: String

    init(_ lines: String) throws {
      path = "\(FileManager.default.temporaryDirectory.path)/a guard \(UUID().uuidString)"
      // By another process: a child that some other test starts meanwhile would hold a descriptor
      // that we write by, and what somebody may write cannot be run (ETXTBSY).
      let writer = Process()
      writer.executableURL = URL(fileURLWithPath: "/bin/sh")
      writer.arguments = [
        "-c", #"printf '%s' "$1" >"$2" && chmod 700 "$2""#, "sh", "#!/bin/sh\n\(lines)\n", path,
      ]
      try writer.run()
      writer.waitUntilExit()
      try #require(writer.terminationStatus == 0)
    }

    deinit { unsafe unlink(path) }

    func makeGuard(limit: Int = 60) throws -> NICGuard {
      try NICGuard(
        try NetworkInterface(named: "lo"), queues: [1], rules: [], executable: path, limit: limit)
    }
  }

  private func failure(_ body: () throws -> Void) throws -> String {
    do {
      try body()
    } catch {
      return "\(error)"
    }
    Issue.record("nothing was thrown")
    return ""
  }

  @Test("a process that ends before it has set the card up is noticed, and its status said")
  func guardDiesEarly() throws {
    let script = try Script("exit 3")
    let text = try failure { _ = try script.makeGuard() }
    #expect(text.contains("ended before it was ready, with status 3"))
    #expect(text.contains("netdev restore lo"))
  }

  @Test("one that never answers is not waited for without end")
  func guardIsSilent() throws {
    // Ends when our end of the socket does.
    let script = try Script("exec cat <&3 >/dev/null")
    let text = try failure { _ = try script.makeGuard(limit: 1) }
    #expect(text.contains("has said nothing for 1 s"))
    // It is left to end by itself; here it must not stay as a zombie, which exit tests trip over.
    let number = text.split(separator: "(").dropFirst().first.flatMap {
      pid_t($0.prefix { $0.isNumber })
    }
    waitpid(try #require(number), nil, 0)
  }

  @Test("one that is killed while the card is set up leaves the command that puts it back")
  func guardDiesLate() throws {
    let script = try Script("printf 'ready\\nlo takes no rules\\n' >&3")
    let cardGuard = try script.makeGuard()
    #expect(cardGuard.warnings == ["lo takes no rules"])
    let text = try failure { try cardGuard.restore() }
    #expect(text.contains("has gone"))
    #expect(text.contains("netdev restore lo"))
    // What was said once is not said again.
    try cardGuard.restore()
  }

  @Test("an error of the body is not lost when putting the card back fails as well")
  func bothFail() throws {
    let script = try Script("printf ready >&3")
    let cardGuard = try script.makeGuard()
    let text = try failure {
      try NICGuard.keeping(cardGuard) { throw CommandError("the cause") }
    }
    #expect(text == "the cause")
  }

  @Test("a guard goes on over words that are not its own, and ends with its peer")
  func guardObeysItsWord() throws {
    let (near, far) = try UnixSocket.pair()
    let thread = BackgroundThread { NICGuardCommand.waitForWord(far) }
    for message in [[1], Array("listening on".utf8), [UInt8](repeating: 7, count: 4096)] {
      try near.send(message)
    }
    try near.send(Array("restore".utf8))
    try thread.join()
    let (other, end) = try UnixSocket.pair()
    let second = BackgroundThread { NICGuardCommand.waitForWord(end) }
    shutdown(other.descriptor.rawValue, Int32(SHUT_RDWR))
    try second.join()
  }

  @Test("a reader of fragments that takes nothing and says nothing is given up")
  func silentReader() throws {
    let (near, far) = try UnixSocket.pair()
    let patience = PeerWait(name: "the reader", limit: 1)
    let text = try failure { try patience.wait(for: near.descriptor.rawValue, Int16(POLLIN)) }
    #expect(text.contains("the reader has said nothing for 1 s"))
    withExtendedLifetime(far) {}
  }

  @Test("a demo whose importer is stopped says so and ends")
  func stoppedImporter() throws {
    let demo = try DevmemctlProcess([
      "demo", "--exporter", "memory-file", "--bytes", "64G", "--patience", "1",
    ])
    let number = demo.process.processIdentifier
    var importer: pid_t?
    while importer == nil, demo.process.isRunning {
      let text = try SystemFile.text(at: "/proc/\(number)/task/\(number)/children")
      // Not before it runs our program: until then whoever starts it waits.
      importer = text.split(separator: " ").first.flatMap { pid_t($0) }.flatMap { child in
        let command = (try? SystemFile.text(at: "/proc/\(child)/cmdline")) ?? ""
        return command.split(separator: "\0").contains("importer") ? child : nil
      }
    }
    kill(try #require(importer), SIGSTOP)
    let output = try demo.wait()
    #expect(output.status == 1)
    #expect(output.standardError.contains("has said nothing for 1 s"), "\(output.standardError)")
    #expect(output.standardError.contains("kill -CONT"))
  }

  /// Has signals noted, and one come.
  private static func interrupt() throws {
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, nil)
    try Interruption.observe()
    raise(SIGINT)
  }

  /// A pipe that takes no more.
  private static func fullPipe() -> Int32 {
    var ends: [Int32] = [-1, -1]
    precondition(unsafe pipe(&ends) == 0)
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    var byte: UInt8 = 0
    while unsafe write(ends[1], &byte, 1) == 1 {}
    _ = fcntl(ends[1], F_SETFL, 0)
    return ends[1]
  }

  @Test("the first signal ends the wait for a reader of the output, one from before the wait too")
  func stalledOutput() async {
    await #expect(processExitsWith: .success) {
      // What runs exit tests says something there at the end.
      let before = dup(STDOUT_FILENO)
      defer { dup2(before, STDOUT_FILENO) }
      dup2(Self.fullPipe(), STDOUT_FILENO)
      try Self.interrupt()
      let sink = try ByteSink("-")
      var isInterrupted = false
      do {
        try unsafe [1, 2, 3].withUnsafeBytes { try unsafe sink.write($0) }
      } catch let error as CommandError {
        isInterrupted = error.message == "interrupted"
      }
      precondition(isInterrupted)
      do throws(CommandError) {
        try Terminal.output.write("result")
        fatalError("a full pipe took it")
      } catch {
        precondition(error.message == "interrupted")
      }
    }
  }

  @Test("and the wait for input, and for a peer")
  func stalledInput() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [-1, -1]
      precondition(unsafe pipe(&ends) == 0)
      let before = dup(STDIN_FILENO)
      defer { dup2(before, STDIN_FILENO) }
      dup2(ends[0], STDIN_FILENO)
      try Self.interrupt()
      var origin = try ByteOrigin(path: "-", byteLimit: nil)
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 16)
      do throws(CommandError) {
        _ = try unsafe origin.read(into: room)
        fatalError("something was read")
      } catch {
        precondition(error.message == "interrupted")
      }
      let (near, far) = try UnixSocket.pair()
      do throws(CommandError) {
        try PeerWait(name: "nobody", limit: nil).wait(
          for: near.descriptor.rawValue, Int16(POLLIN))
        fatalError("something came")
      } catch {
        precondition(error.message == "interrupted")
      }
      withExtendedLifetime(far) {}
    }
  }

  @Test("an error gets out although a signal has come, and a stalled one does not hold the process")
  func notes() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardErrorContent]
    ) {
      try Self.interrupt()
      Terminal.error.noteLine("Error: interrupted")
      let full = Self.fullPipe()
      Terminal(descriptor: full).note("nobody reads this")
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text == "Error: interrupted\n")
  }
}
