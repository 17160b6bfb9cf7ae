// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

/// `devmemctl recv` and `send` as two processes, over an io_uring.
@Suite("devmemctl over an io_uring", .serialized) struct URingCommandTests {
  struct Transfer: Sendable, CustomStringConvertible {
    let options: [String]
    let sendWire: String
    let byteCount: Int
    let address: String

    init(_ options: [String], _ sendWire: String, _ byteCount: Int, address: String = "::1") {
      self.options = options
      self.sendWire = sendWire
      self.byteCount = byteCount
      self.address = address
    }

    var description: String { "recv \(options.joined(separator: " ")), send \(sendWire)" }
  }

  @Test(
    "bytes that are sent over loopback arrive in a dma-buf, validated, with equal digests",
    arguments: [
      Transfer(["--wire", "zcrx", "--no-device"], "tcp", 64 << 20),
      Transfer(
        ["--wire", "zcrx", "--no-device", "--buffer-size", "1M", "--hold", "200"], "uring",
        8 << 20, address: "127.0.0.1"),
      Transfer(["--wire", "uring"], "uring", 32 << 20, address: "127.0.0.1"),
      Transfer(
        ["--wire", "uring", "--iov-size", "64K", "--buffer-size", "4M", "--hold", "60"], "tcp",
        16 << 20),
    ])
  func loopback(transfer: Transfer) throws {
    let (options, byteCount, address) = (transfer.options, transfer.byteCount, transfer.address)
    let receiver = try DevmemctlProcess(
      ["recv", "--listen", address, "--port", "5701", "--validate", "--json"] + options)
    let sent = try DevmemctlProcess.run(
      ["send", "--wire", transfer.sendWire, address, "--port", "5701", "--bytes", "\(byteCount)"]
        + ["--json", "--iov-size", "64K", "--connect-timeout", "60"])
    let received = try receiver.wait()
    #expect(sent.status == 0, "\(sent.standardError)")
    #expect(received.status == 0, "\(received.standardError)")
    let out = try sent.json()
    let into = try received.json()
    #expect(out["sha256"] as? String == into["sha256"] as? String)
    #expect(into["byteCount"] as? Int == byteCount && out["byteCount"] as? Int == byteCount)
    #expect(into["deviceByteCount"] as? Int == byteCount)
    #expect(into["validated"] as? Bool == true)
    #expect(into["changedWhileHeld"] as? Int == 0)
    #expect(into["poolInFlightBefore"] as? Int == 0)
    #expect(into["poolInFlightAfter"] as? Int == 0)
    #expect(out["inFlightAtEnd"] as? Int == 0)
    if options.contains("zcrx") {
      // Without a card each byte is copied once, and the kernel counts that: not what it had copied
      // of a packet when a request ended for want of a buffer.
      let copied = into["copyByteCount"] as? Int ?? 0
      #expect(copied > 0 && copied <= byteCount)
      if into["starvedCount"] as? Int == 0 { #expect(copied == byteCount) }
    }
  }
}
