// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CTestSupport
import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Glibc
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

  @Test("without IPv6 in the kernel all addresses are those of IPv4, and what is IPv6 is refused")
  func withoutIPv6() async throws {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardErrorContent]
    ) {
      // What ipv6.disable=1 on the kernel's command line comes to.
      precondition(ctest_refuse_family(AF_INET6, EAFNOSUPPORT) == 0)
      let listener = try RecvRun.listen(
        on: TCPEndpoint(address: "::", port: 0), interface: "lo")
      let port = listener.socket.port
      precondition(listener.local.address == "0.0.0.0")
      _ = try Self.connect(to: ["127.0.0.1"], port)
      _ = try listener.socket.accept()
      do throws(CommandError) {
        _ = try RecvRun.listen(on: TCPEndpoint(address: "::1", port: 0), interface: nil)
        fatalError("listens on what is not there")
      } catch {
        precondition(error.description.contains("listening on [::1]:0: EAFNOSUPPORT"))
        precondition(error.remedy?.contains("ipv6.disable=1") == true)
      }
      do {
        _ = try Self.connect(to: ["::1"], port)
        fatalError("connected to what is not there")
      } catch let error as CommandError {
        precondition(error.description.contains("connecting to [::1]:"), "\(error)")
        precondition(error.remedy?.contains("ipv6.disable=1") == true, "\(error)")
      }
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text == "this kernel has no IPv6 (ipv6.disable=1?): IPv4 alone\n")
  }

  @Test("a peer that comes late is waited for at each address of its name, whatever others say")
  func latePeer() async {
    await #expect(processExitsWith: .success) {
      precondition(ctest_refuse_family(AF_INET6, EAFNOSUPPORT) == 0)
      // A port that nobody listens at now.
      let port = try TCPSocket.listen().port
      let late = BackgroundThread {
        usleep(300_000)
        _ = try TCPSocket.listen(port: port).accept()
      }
      _ = try Self.connect(to: ["127.0.0.1", "::1"], port)
      try late.join()
    }
  }

  /// What send does with the addresses that a name has.
  private static func connect(
    to addresses: [String], _ port: UInt16
  ) throws -> OwnedFileDescriptor {
    let options = try SendCommand.parse([
      addresses[0], "--interface", "lo", "--bytes", "1", "--connect-timeout", "60",
    ])
    return try SendRun.connect(options, NetworkInterface(named: "lo")) {
      addresses.map { TCPEndpoint(address: $0, port: port) }
    }
  }

  @Test("where pages are larger, so are a card's buffers, and --page-size means the kernel's")
  func largerPages() throws {
    try SystemCallSeam.pretending(basePageByteCount: 16 << 10) { () throws in
      let recv = ["--interface", "lo"]
      #expect(try RecvCommand.parse(recv).iovSize.value == 16 << 10)
      let small = refusal { try RecvCommand.parse(recv + ["--iov-size", "4K"]) }
      #expect(RecvCommand.message(for: small).contains("use 16K or more"))
      let uneven = refusal { try RecvCommand.parse(recv + ["--buffer-size", "20K"]) }
      #expect(RecvCommand.message(for: uneven).contains("multiple of 16K"))
      // What a pool hands out for sending may be smaller than a page.
      let send = ["10.0.0.1", "--interface", "lo", "--bytes", "1", "--iov-size", "4K"]
      #expect(try SendCommand.parse(send).iovSize.value == 4096)
      #expect(try DemoCommand.parse([]).options().pageSize == .base4K)
      #expect(try DemoCommand.parse(["--page-size", "16K"]).options().pageSize == .base4K)
      let other = refusal { try DemoCommand.parse(["--page-size", "4K"]) }
      #expect(DemoCommand.message(for: other).contains("16K or 2M"))
    }
  }

  private func refusal<Command>(_ body: () throws -> Command) -> any Error {
    do {
      _ = try body()
    } catch {
      return error
    }
    Issue.record("it was taken")
    return CommandError("nothing")
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
      ["recv", "--wire", "rdma"], ["recv", "--wire", "zcrx"], ["recv", "--no-device"],
      ["recv", "--wire", "uring", "--no-device"], ["recv", "--wire", "uring", "--queues", "1"],
      ["recv", "--wire", "zcrx", "--no-device", "--no-setup"],
      ["recv", "--wire", "zcrx", "--no-device", "--iov-size", "16K"],
      ["recv", "--wire", "zcrx", "--no-device", "--cpu-mapping"],
      ["recv", "--wire", "zcrx", "--interface", "lo", "--queues", "1,2"],
      ["recv", "--wire", "zcrx", "--interface", "lo", "--fail-on-linear"],
      ["recv", "--wire", "tcp", "--queues", "1"], ["recv", "--wire", "tcp", "--no-setup"],
      ["recv", "--wire", "tcp", "--memory", "vulkan"], ["recv", "--wire", "tcp", "--into", "cuda"],
      ["recv", "--wire", "tcp", "--into", "vulkan", "--output", "-"],
      ["recv", "--wire", "uring", "--into", "vulkan"],
      ["recv", "--wire", "zcrx", "--no-device", "--into", "vulkan"],
      ["send", "127.0.0.1", "--bytes", "1"],
      ["send", "--wire", "zcrx", "127.0.0.1", "--bytes", "1"],
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
