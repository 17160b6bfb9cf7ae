// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import devmemctl

/// What recv and send do before there is a card.
@Suite struct TransferTests {
  @Test("the pattern is ncdevmem's: 1 up to the period, newline in its place, wherever one begins")
  func pattern() {
    for period in [2, 7, 255] {
      let pattern = BytePattern(period: period)
      var expected: [UInt8] = []
      var seed = 1
      for _ in 0..<200_000 {
        expected.append(seed == 0 ? UInt8(ascii: "\n") : UInt8(seed))
        seed = seed + 1 == period ? 0 : seed + 1
      }
      for (offset, count) in [
        (0, 200_000), (1, 100_000), (period - 1, 70_000), (65_537, 1), (9, 0),
      ] {
        var bytes = [UInt8](repeating: 0xFF, count: count)
        unsafe bytes.withUnsafeMutableBytes { unsafe pattern.fill($0, at: offset) }
        #expect(bytes == Array(expected[offset..<offset + count]))
        #expect(
          unsafe bytes.withUnsafeBytes { unsafe pattern.firstDifference(in: $0, at: offset) } == nil
        )
        guard count > 0 else { continue }
        bytes[count / 2] ^= 0x80
        #expect(
          unsafe bytes.withUnsafeBytes { unsafe pattern.firstDifference(in: $0, at: offset) }
            == count / 2)
      }
    }
  }

  @Test("a card that can't is refused in words that name it and what could")
  func refusal() throws {
    let output = try DevmemctlProcess.run(["recv", "--interface", "lo"])
    #expect(output.status == 1)
    #expect(output.standardOutput.isEmpty)
    #expect(output.standardError.contains("lo"))
    #expect(output.standardError.contains("mlx5_core"))
    let sender = try DevmemctlProcess.run(
      ["send", "--interface", "lo", "127.0.0.1", "--bytes", "1"])
    #expect(sender.status == 1)
    #expect(sender.standardError.contains("lo"))
    #expect(
      sender.standardError.contains("mlx5_core")
        || sender.standardError.contains("CONFIG_NET_DEVMEM"))
    let missing = try DevmemctlProcess.run(["recv", "--interface", "no-such-nic"])
    #expect(missing.status == 1)
    #expect(missing.standardError.contains("interfaceMissing"))
  }

  @Test(
    "arguments that make no sense end in status 64",
    arguments: [
      ["recv"], ["recv", "--interface", "lo", "--queues", "1,1"],
      ["recv", "--interface", "lo", "--queues", "a"],
      ["recv", "--interface", "lo", "--hold", "-1"],
      ["recv", "--interface", "lo", "--iov-size", "5000"],
      ["recv", "--interface", "lo", "--period", "1"],
      ["recv", "--interface", "lo", "--buffer-size", "1"],
      ["send", "--interface", "lo", "127.0.0.1"], ["send", "--interface", "lo", "--bytes", "1"],
      ["send", "--interface", "lo", "127.0.0.1", "--bytes", "0"],
      ["send", "--interface", "lo", "127.0.0.1", "--bytes", "1", "--packet-size", "1G"],
      ["send", "--interface", "lo", "127.0.0.1", "--bytes", "1", "--port", "65536"],
    ] + limits)
  func arguments(_ arguments: [String]) throws {
    #expect(try DevmemctlProcess.run(arguments).status == 64)
  }

  /// Every number that can be given, at the limit of what it is read into.
  private static let limits: [[String]] = {
    let largest = "9223372036854775807"
    let send = ["send", "--interface", "lo", "127.0.0.1", "--bytes", "1"]
    let recv = ["recv", "--interface", "lo"]
    let bind = ["netdev", "bind", "lo"]
    return [
      send + ["--packet-size", largest], send + ["--iov-size", largest],
      send + ["--buffer-size", largest], send + ["--connect-timeout", largest],
      send + ["--period", largest], recv + ["--hold", largest], recv + ["--iov-size", largest],
      recv + ["--buffer-size", largest], recv + ["--period", largest],
      recv + ["--queues", "4294967296"], bind + ["--bytes", largest],
      bind + ["--page-size", largest], bind + ["--rx-page-size", largest],
      bind + ["--queues", "4294967296"], ["demo", "--bytes", largest],
      ["demo", "--page-size", largest], ["demo", "--iov-size", largest],
      ["demo", "--node", largest], ["demo", "--patience", largest],
    ]
  }()
}
