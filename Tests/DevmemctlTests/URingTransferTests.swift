// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// `recv` over an io_uring, as far as a memory file shows it; the device tier has the commands.
@Suite("recv over an io_uring")
struct URingTransferTests {
  private func transfer(
    _ arguments: [String], byteCount: Int, period: Int = 7
  ) throws -> RecvReport {
    let options = try RecvCommand.parse(arguments)
    let buffer = try DMABuf.memoryFile(byteCount: 4 << 20)
    let listener = try TCPSocket.listen()
    let client = try TCPSocket.connect(port: listener.port)
    let worker = Worker()
    defer { worker.stop() }
    worker.start {
      var block = [UInt8](repeating: 0, count: 70_000)
      var sent = 0
      while sent < byteCount {
        unsafe block.withUnsafeMutableBytes { bytes in
          unsafe BytePattern(period: period).fill(bytes, at: sent)
        }
        let count = min(block.count, byteCount - sent)
        guard let more = try? client.send(Array(block[..<count])) else { return }
        sent += more
      }
      try? client.finishSending()
    }
    return try RecvRun.receiveIntoProvidedBuffers(
      options, buffer, listener.accept().takeDescriptor(), ByteSink(nil))
  }

  @Test("bytes in provided buffers are compared and counted, and every buffer comes back")
  func providedBuffers() throws {
    let report = try transfer(
      ["--wire", "uring", "--validate", "--hold", "500"], byteCount: 9_000_001)
    #expect(report.problems.isEmpty, "\(report.problems)")
    #expect(report.byteCount == 9_000_001 && report.isValidated)
    #expect(report.poolInFlightBefore == 0 && report.poolInFlightAfter == 0)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(report.json.text.utf8)) as? [String: Any])
    #expect(object["wire"] as? String == "uring" && object["interface"] is NSNull)
    #expect(object["deviceByteCount"] as? Int == 9_000_001)
    #expect(object["validated"] as? Bool == true)
    #expect(report.table.contains("provided buffers"))
  }

  @Test("a byte that is not the pattern's is a problem, which names it")
  func wrongPattern() throws {
    let report = try transfer(
      ["--wire", "uring", "--validate", "--period", "9"], byteCount: 10_000)
    #expect(report.firstWrongOffset == 6)
    #expect(report.problems == ["validation failed: byte 6 is not what the pattern says"])
  }
}
