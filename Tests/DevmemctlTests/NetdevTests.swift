// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

@Suite("netdev") struct NetdevTests {
  @Test(
    "list names every interface of this machine, able or not, and exits with 0 only if one is able")
  func list() throws {
    let output = try DevmemctlProcess.run(["netdev", "list", "--json"])
    if output.standardError.contains("kernelUnsupported") {
      #expect(output.status == 1)
      return
    }
    let json = try output.json()
    let interfaces = try #require(json["interfaces"] as? [[String: Any]])
    let loopback = try #require(interfaces.first { $0["interface"] as? String == "lo" })
    let send = try #require(loopback["send"] as? [String: Any])
    #expect(send["supported"] as? Bool == false)
    let lack = try #require((send["missing"] as? [[String: String]])?.first)
    #expect(lack["capability"]?.isEmpty == false)
    #expect(lack["remedy"]?.isEmpty == false)
    let isAnyAble = interfaces.contains { interface in
      ["receive", "send"].contains {
        (interface[$0] as? [String: Any])?["supported"] as? Bool == true
      }
    }
    #expect(output.status == (isAnyAble ? 0 : 1))
  }

  @Test(
    "on an interface that cannot, binding fails, names it, what is missing and what provides it",
    arguments: [[], ["--send"]])
  func bind(more: [String]) throws {
    let output = try DevmemctlProcess.run(["netdev", "bind", "lo"] + more)
    #expect(output.status == 1)
    #expect(output.standardOutput.isEmpty)
    let error = output.standardError
    if error.contains("kernelUnsupported") || error.contains("permissionDenied") { return }
    #expect(error.contains(more.isEmpty ? "receiveUnsupported" : "transmitUnsupported"), "\(error)")
    #expect(error.contains("lo lacks"))
    #expect(error.contains("mlx5_core"))
  }

  @Test("an interface that is not there is named", arguments: ["list", "pools", "bind"])
  func noInterface(command: String) throws {
    let output = try DevmemctlProcess.run(["netdev", command, "no-such-dev"])
    #expect(output.status == 1)
    #expect(output.standardError.contains("no-such-dev"))
    #expect(output.standardError.contains("interfaceMissing"))
  }

  @Test("pools are listed, as a table and as an object")
  func pools() throws {
    let output = try DevmemctlProcess.run(["netdev", "pools", "--json"])
    if output.standardError.contains("kernelUnsupported") { return }
    #expect(output.status == 0)
    #expect(try output.json()["pools"] is [Any])
    #expect(try DevmemctlProcess.run(["netdev", "pools"]).status == 0)
  }

  @Test(
    "arguments that make no sense are refused",
    arguments: [
      ["--queues", "1,x"], ["--queues", ""], ["--page-size", "8K"], ["--bytes", "0"],
      ["--send", "--port", "5201"], ["--send", "--queues", "1"], ["--port", "65536"],
    ])
  func arguments(wrong: [String]) throws {
    let output = try DevmemctlProcess.run(["netdev", "bind", "lo"] + wrong)
    #expect(output.status == 64)
  }

  @Test(
    "a table is aligned: text to the left, numbers to the right, nothing behind the last column")
  func table() {
    var table = Table(titles: ["ID", "NAME", "N"])
    table.rows = [["1", "a", "100"], ["22", "longer", "5"]]
    table.numeric = [0, 2]
    #expect(
      table.text(for: Terminal(descriptor: -1))
        == "ID  NAME      N\n 1  a       100\n22  longer    5\n")
  }
}
