// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

/// What errors say to do can be done where they say it: the commands of their remedies run.
@Suite("devmem TCP: remedies that are commands", .onDevmemSim, .serialized) struct RemedyTests {
  private static let name = DevmemSim.here.interface

  /// Runs a command of a remedy as its reader would, with devmemctl where they have it.
  ///
  /// - Returns: its output.
  @discardableResult
  private func run(
    _ command: String, of error: DevmemError?, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String {
    let remedy = try #require(error?.remedy, sourceLocation: sourceLocation)
    #expect(remedy.contains(command), "\(remedy)", sourceLocation: sourceLocation)
    let folder = DevmemctlProcess.executable.deletingLastPathComponent().path
    return try DevmemSim.tool(
      "env", "PATH=\(folder):/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command)
  }

  @Test("what a refused binding says to do makes the next one work")
  func setup() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let bind = { () throws(DevmemError) in
      try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
    }
    let off = nic.error(bind)
    #expect(off?.code == .headerSplitDisabled)
    try run("devmemctl netdev setup \(Self.name)", of: off)
    let binding = try bind()
    let bound = nic.error(bind)
    #expect(bound?.code == .memoryInUse)
    let other = try DMABuf.udmabuf(byteCount: 1 << 20)
    let second = nic.error { () throws(DevmemError) in
      try NetdevBinding.receive(other, interface: nic.interface, queues: [3])
    }
    #expect(second?.code == .queueBound)
    #expect(try run("devmemctl netdev pools", of: second).contains(Self.name))
    // Bound memory pins the settings, and restoring says so.
    let pinned = try DevmemctlProcess.run(["netdev", "restore", Self.name])
    #expect(pinned.status == 1)
    #expect(pinned.standardError.contains("Unbind first"), "\(pinned.standardError)")
    #expect(!(try NICSnapshot(of: nic.interface).rss.indirection.contains(3)))
    binding.close()
    let output = try DevmemctlProcess.run(["netdev", "restore", Self.name])
    #expect(output.status == 0, "\(output.standardError)")
    #expect(try NICSnapshot(of: nic.interface) == before)
    let again = try DevmemctlProcess.run(["netdev", "restore", Self.name])
    #expect(again.standardOutput == "\(Self.name) has nothing to be put back\n")
  }

  @Test("a threshold is set to 0 by what the error says, and comes back")
  func threshold() throws {
    let nic = try SimulatedNIC()
    var ethtool = try EthtoolFamily()
    try ethtool.setHeaderSplit(of: nic.interface, dataSplit: .enabled, threshold: 64)
    let before = try NICSnapshot(of: nic.interface)
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let error = nic.error { () throws(DevmemError) in
      try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
    }
    #expect(error?.code == .headerSplitThreshold)
    let output = try run("devmemctl netdev setup \(Self.name)", of: error)
    #expect(output.contains("hds-thresh 0, was 64"), "\(output)")
    #expect(output.contains("receive side scaling over queues 0 1 2, was 0 1 2 3"), "\(output)")
    try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3]).close()
    try DevmemctlProcess.run(["netdev", "restore", Self.name])
      .expectSuccess()
    #expect(try NICSnapshot(of: nic.interface) == before)
    try ethtool.setHeaderSplit(of: nic.interface, dataSplit: .disabled, threshold: 0)
  }

  @Test("what a killed program has left is put back by what its successor's error says")
  func abandoned() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let setup = try NICSetup(nic.interface, queues: [3])
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
    let error = nic.error { () throws(DevmemError) in try setup.restore() }
    #expect(error?.code == .notRestored)
    binding.close()
    // We are still there, so that our part stays; a killed one's would not.
    let output = try run("devmemctl netdev restore \(Self.name)", of: error)
    #expect(output.contains("stays set up for 1 running program"), "\(output)")
    try run("devmemctl netdev list \(Self.name)", of: error)
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("what shows the interfaces, queues, rings and rules runs")
  func looking() throws {
    let nic = try SimulatedNIC()
    var ethtool = try EthtoolFamily()
    let before = try NICSnapshot(of: nic.interface)
    try run(
      "ip -br link",
      of: nic.error { () throws(DevmemError) in try NetworkInterface(named: "no-such-card") })
    try nic.withHeaderSplit {
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      try run(
        "ethtool -l \(Self.name)",
        of: nic.error { () throws(DevmemError) in
          try NetdevBinding.receive(buffer, interface: nic.interface, queues: [4000])
        })
    }
    let refused = nic.error { () throws(DevmemError) in
      try ethtool.setRSS(of: nic.interface, indirection: [4000])
    }
    try run("ethtool -g \(Self.name); ethtool -l \(Self.name)", of: refused)
    let full = nic.error { () throws(DevmemError) in
      let rule = SteeringRule(.tcp4, destination: .init(port: 1), queue: 1)
      return try SystemCallSeam.forcing(.ENOSPC, on: .ethtoolInsertRule) {
        () throws(DevmemError) in
        try ethtool.insertRule(rule, on: nic.interface)
      }
    }
    try run("ethtool -n \(Self.name)", of: full)
    try run(
      "ethtool -k \(Self.name)",
      of: nic.error { () throws(DevmemError) in
        try ethtool.setFeature("rx-vlan-filter", true, of: nic.interface)
      })
    // More queues, where the card has them.
    let few = nic.error { () throws(DevmemError) in
      try NICSetup.lastQueues(4, of: nic.interface)
    }
    try run("ethtool -L \(Self.name) combined 5", of: few)
    #expect(try NICSetup.lastQueues(4, of: nic.interface) == [1, 2, 3, 4])
    try ethtool.setChannels(of: nic.interface, combined: 4)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }
}

extension ToolProcess.Output {
  fileprivate func expectSuccess(sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(status == 0, "\(standardError)", sourceLocation: sourceLocation)
  }
}
