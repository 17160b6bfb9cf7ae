// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// Which card an interface comes down to, by folders that sysfs would have.
@Suite struct InterfaceStackTests {
  /// `lo` stands for every name that has to be there.
  private func files(_ links: [String], flags: String = "0x9") throws -> MadeUpFiles {
    var files = ["/sys/class/net/lo/flags": flags + "\n"]
    for link in links { files["/sys/class/net/\(link)/x"] = "" }
    return try MadeUpFiles(files)
  }

  @Test("a card by itself is listened on alone")
  func alone() throws {
    let machine = try files([])
    let stack = try InterfaceStack(named: "lo", files: FileTree(root: machine.root))
    #expect(stack.card.name == "lo")
    #expect(stack.listeningInterface == "lo")
  }

  @Test("one below a VLAN is not, because connections come in by that")
  func below() throws {
    let machine = try files(["lo/upper_vlan5", "lo/upper_br0"])
    let stack = try InterfaceStack(named: "lo", files: FileTree(root: machine.root))
    #expect(stack.upper == ["br0", "vlan5"])
    #expect(stack.listeningInterface == nil)
  }

  @Test("one above several cards is refused with their names")
  func several() throws {
    let machine = try files(["lo/lower_eth0", "lo/lower_vlan1", "vlan1/lower_eth1"])
    do {
      _ = try InterfaceStack(named: "lo", files: FileTree(root: machine.root))
      Issue.record("it was taken")
    } catch let error as CommandError {
      #expect(error.message.contains("eth0, eth1"))
    }
  }

  @Test("a card that is down is said to be, with the command that changes it")
  func down() throws {
    let machine = try files([], flags: "0x8")
    do {
      _ = try InterfaceStack(named: "lo", files: FileTree(root: machine.root))
      Issue.record("it was taken")
    } catch let error as CommandError {
      #expect(error.message.contains("lo is down"))
      #expect(error.remedy?.contains("ip link set lo up") == true)
    }
  }

  @Test("host names are looked up, and unknown ones are said to be")
  func names() throws {
    let endpoints = try SendRun.endpoints(of: "localhost", port: 9, "looking up")
    #expect(!endpoints.isEmpty)
    #expect(
      try SendRun.endpoints(of: "192.0.2.1", port: 9, "looking up").map(\.address) == ["192.0.2.1"])
    do {
      _ = try SendRun.endpoints(of: "no such host.invalid", port: 9, "looking up")
      Issue.record("it was found")
    } catch {
      #expect(error.message.contains("no such host.invalid"))
      #expect(error.remedy != nil)
    }
  }

  @Test("too few descriptors for a demo are said with what was being done and a way out")
  func fewDescriptors() throws {
    for limit in 4...24 {
      let output = try ToolProcess.run(
        URL(fileURLWithPath: "/bin/sh"),
        [
          "-c", "ulimit -n \(limit) && exec \"$0\" demo --exporter memory-file --bytes 64K",
          DevmemctlProcess.executable.path,
        ])
      if output.status == 0 { continue }
      #expect(output.status == 1 || output.status == 127, "\(limit): \(output.standardError)")
      guard output.status == 1 else { continue }
      #expect(!output.standardError.hasPrefix("Error: EMFILE"), "\(limit): \(output.standardError)")
      #expect(
        output.standardError.contains("ulimit -n") || output.standardError.contains("importer"),
        "\(limit): \(output.standardError)")
    }
  }
}
