// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// `recv --wire tcp`, as far as a memory file shows it; the device tier has it with a device.
@Suite("recv by ordinary TCP") struct TCPTransferTests {
  @Test("bytes in a pool's buffers are compared and counted, and every buffer comes back")
  func received() throws {
    let byteCount = 3_000_001
    let options = try RecvCommand.parse(["--wire", "tcp", "--validate", "--hold", "200"])
    let listener = try TCPSocket.listen()
    let client = try TCPSocket.connect(port: listener.port)
    let worker = Worker()
    defer { worker.stop() }
    worker.start {
      var bytes = [UInt8](repeating: 0, count: byteCount)
      unsafe bytes.withUnsafeMutableBytes { unsafe BytePattern(period: 7).fill($0, at: 0) }
      var rest = bytes[...]
      while !rest.isEmpty, let sent = try? client.send(Array(rest.prefix(70_000))) {
        rest = rest.dropFirst(sent)
      }
      try? client.finishSending()
    }
    // Less memory than is held and under way: it runs out now and then.
    let report = try RecvRun.receiveByTCP(
      options, .memoryFile(byteCount: 1 << 20), nil, listener.accept().takeDescriptor(),
      ByteSink(nil))
    #expect(report.problems.isEmpty, "\(report.problems)")
    #expect(report.byteCount == byteCount && report.isValidated)
    #expect(report.poolInFlightBefore == 0 && report.poolInFlightAfter == 0)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(report.json.text.utf8)) as? [String: Any])
    #expect(object["wire"] as? String == "tcp" && object["vulkan"] is NSNull)
    #expect(object["deviceByteCount"] as? Int == byteCount)
    #expect(object["packetCount"] as? Int ?? 0 >= byteCount / (256 << 10))
  }
}
