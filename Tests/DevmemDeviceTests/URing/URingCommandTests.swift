// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

/// `devmemctl recv` and `send` as two processes, over an io_uring.
@Suite("devmemctl over an io_uring", .serialized) struct URingCommandTests {
  @Test(
    "bytes that are sent over loopback arrive in a dma-buf, validated, with equal digests",
    arguments: [
      (["--wire", "zcrx", "--no-device"], 192 << 20, "::1"),
      (["--wire", "zcrx", "--no-device", "--buffer-size", "1M", "--hold", "200"], 8 << 20, "127.0.0.1"),
      (["--wire", "uring"], 64 << 20, "127.0.0.1"),
      (["--wire", "uring", "--iov-size", "64K", "--buffer-size", "4M", "--hold", "60"], 32 << 20, "::1"),
    ])
  func loopback(options: [String], byteCount: Int, address: String) throws {
    let receiver = try DevmemctlProcess(
      ["recv", "--listen", address, "--port", "5701", "--validate", "--json"] + options)
    let sent = try DevmemctlProcess.run(
      ["send", "--wire", "tcp", address, "--port", "5701", "--bytes", "\(byteCount)", "--json"]
        + ["--iov-size", "64K", "--connect-timeout", "60"])
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
      // Without a card each byte is copied once, and the kernel counts that.
      #expect(into["copyByteCount"] as? Int == byteCount)
    }
  }
}
