// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Testing

/// What NICSetup makes of a card, and that nothing of it is left.
@Suite("devmem TCP: setting the card up and back", .onDevmemSim, .serialized) struct NICSetupTests {
  private static let rules: [SteeringRule] = [
    SteeringRule(.tcp4, destination: .init(port: 5201), queue: 2),
    SteeringRule(
      .tcp6, destination: .init(address: IPAddress("fd00::1"), port: 5202), queue: 3),
  ]

  @Test("the card is set up, bound, unbound and restored to the last bit")
  func wholeWay() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let setup = try NICSetup(nic.interface, queues: [2, 3], rules: Self.rules)
    let during = try NICSnapshot(of: nic.interface)
    #expect(during.rings.dataSplit == .enabled)
    #expect(during.rings.headerSplitThreshold == 0)
    #expect(!during.rss.indirection.contains(2))
    #expect(!during.rss.indirection.contains(3))
    #expect(Set(during.rss.indirection) == [0, 1])
    #expect(during.rules.count == before.rules.count + 2)
    for rule in Self.rules {
      #expect(
        during.rules.contains {
          $0.transport == rule.transport && $0.destination == rule.destination
            && $0.source == rule.source && $0.queue == rule.queue
        })
    }
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2, 3]).close()
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("the end of the object restores as well")
  func end() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    do {
      let setup = try NICSetup(nic.interface, queues: [3], rules: [])
      #expect(try NICSnapshot(of: nic.interface) != before)
      withExtendedLifetime(setup) {}
    }
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("queues beyond those in use are made, and taken away again")
  func channels() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let count = before.channels.current.receiveQueueCount
    let setup = try NICSetup(
      nic.interface, queues: [count + 1],
      rules: [SteeringRule(.tcp4, destination: .init(port: 5201), queue: count + 1)])
    let during = try NICSnapshot(of: nic.interface)
    #expect(during.channels.current.receiveQueueCount == count + 2)
    #expect(!during.rss.indirection.contains(count + 1))
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
    let tooMany = nic.error { () throws(DevmemError) in
      try NICSetup(nic.interface, queues: [4000])
    }
    #expect(tooMany?.code == .settingUnsupported)
    #expect(tooMany?.interface == nic.interface.name)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("what was set by somebody stays set, and comes back where it had to change")
  func foreignSettings() throws {
    let nic = try SimulatedNIC()
    let untouched = try NICSnapshot(of: nic.interface)
    var ethtool = try EthtoolFamily()
    let size = untouched.rss.indirection.count
    try ethtool.setRSS(
      of: nic.interface, indirection: (0..<size).map { [3, 3, 1, 0][$0 % 4] })
    try ethtool.setHeaderSplit(of: nic.interface, dataSplit: .enabled, threshold: 33)
    let foreign = try ethtool.insertRule(
      SteeringRule(.udp4, destination: .init(port: 53), queue: 1), on: nic.interface)
    let before = try NICSnapshot(of: nic.interface)
    let setup = try NICSetup(nic.interface, queues: [2, 3], rules: Self.rules)
    let during = try NICSnapshot(of: nic.interface)
    #expect(during.rules.contains { $0.location == foreign && $0.queue == 1 })
    #expect(during.rings.headerSplitThreshold == 0)
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)

    try ethtool.deleteRule(at: foreign, of: nic.interface)
    try ethtool.setHeaderSplit(
      of: nic.interface, dataSplit: untouched.rings.dataSplit,
      threshold: untouched.rings.headerSplitThreshold)
    try ethtool.setRSS(of: nic.interface, indirection: [])
    #expect(try NICSnapshot(of: nic.interface) == untouched)
  }

  @Test(
    "bound memory pins the split: restoring says so, and does the rest; then it can be repeated")
  func stillBound() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let setup = try NICSetup(nic.interface, queues: [3], rules: [])
    let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
    var ethtool = try EthtoolFamily()
    let split = try #require(
      nic.error { () throws(DevmemError) in
        try ethtool.setHeaderSplit(of: nic.interface, dataSplit: .disabled)
      })
    #expect(split.code == .stillBound)
    #expect(split.underlying == .EINVAL)
    let threshold = nic.error { () throws(DevmemError) in
      try ethtool.setHeaderSplit(of: nic.interface, threshold: 1)
    }
    #expect(threshold?.code == .stillBound)
    let fewer = nic.error { () throws(DevmemError) in
      try ethtool.setChannels(of: nic.interface, combined: 3)
    }
    #expect(fewer?.code == .stillBound)

    let error = try #require(nic.error { () throws(DevmemError) in try setup.restore() })
    #expect(error.code == .notRestored)
    #expect(error.remedy?.contains("devmemctl netdev restore dmsim0") == true)
    let half = try NICSnapshot(of: nic.interface)
    #expect(!half.rss.indirection.contains(3), "memory that nobody can read gets no other traffic")
    #expect(half.rings.dataSplit == .enabled)
    binding.close()
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("an error at any step leaves the card as it was, and no descriptor")
  func forced() async throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let nic = try SimulatedNIC()
      let before = try NICSnapshot(of: nic.interface)
      var differences = 0
      ForcedErrnos.printVerdict(with: [.EIO, .EINTR]) {
        // What a call before left is found by the next.
        if try NICSnapshot(of: nic.interface) != before { differences += 1 }
        let setup = try NICSetup(
          nic.interface, queues: [5],
          rules: [SteeringRule(.tcp4, destination: .init(port: 5201), queue: 5)])
        try setup.restore()
      }
      if try NICSnapshot(of: nic.interface) != before { differences += 1 }
      if differences > 0 { print("\(differences) times the card was not as before") }
    }
    ForcedErrnos.expectCleanVerdict(result)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("a card without rules is set up, and the warning says what that means")
  func noRules() throws {
    try DevmemSim.reload("rules=0")
    defer { try? DevmemSim.reload() }
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    #expect(!before.features.contains("rx-ntuple-filter"))
    let setup = try NICSetup(nic.interface, queues: [2, 3], rules: Self.rules)
    #expect(setup.warnings.count == 1)
    #expect(setup.warnings.first?.contains("dmsim0 takes no such rules: tcp4,2,") == true)
    let during = try NICSnapshot(of: nic.interface)
    #expect(during.rings.dataSplit == .enabled)
    #expect(Set(during.rss.indirection) == [0, 1], "what safety needs is done")
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2, 3]).close()
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
    // The tool prints it.
    let output = try DevmemctlProcess.run(["netdev", "setup", "dmsim0", "--port", "5201"])
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.standardError.contains("warning: dmsim0 takes no such rules"))
    #expect(try DevmemctlProcess.run(["netdev", "restore", "dmsim0"]).status == 0)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("a card that spreads nothing is set up but for its first queue; one that may is refused")
  func noSpreading() throws {
    try DevmemSim.reload("spreads=0")
    defer { try? DevmemSim.reload() }
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    #expect(before.rss.indirection.isEmpty)
    let setup = try NICSetup(nic.interface, queues: [2, 3], rules: Self.rules)
    #expect(setup.warnings.count == 1)
    #expect(setup.warnings.first?.contains("no table of receive side scaling") == true)
    #expect(try NICSnapshot(of: nic.interface).rules.count == before.rules.count + 2)
    let second = try NICSetup(nic.interface, queues: [1])
    try setup.restore()
    try second.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
    // All other traffic comes by queue 0.
    let first = nic.error { () throws(DevmemError) in try NICSetup(nic.interface, queues: [0]) }
    #expect(first?.code == .settingUnsupported)
    #expect(first?.remedy?.contains("queue 0") == true)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("a card that hashes, but whose table cannot be seen, is refused: it may spread anywhere")
  func hiddenTable() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    var refused = false
    for occurrence in 1..<60 where !refused {
      do {
        let setup = try SystemCallSeam.forcing(
          .EOPNOTSUPP, on: .netlinkSend, occurrence: occurrence
        ) { try NICSetup(nic.interface, queues: [2]) }
        #expect(setup.warnings.isEmpty)
        try setup.restore()
      } catch let error as DevmemError {
        refused = error.remedy?.contains("can spread packets by hashes") == true
        #expect(!refused || error.code == .settingUnsupported)
      }
      #expect(try NICSnapshot(of: nic.interface) == before)
    }
    #expect(refused)
  }

  /// Sets the card up again and again, each time with another request refused, until the body says
  /// of what came out that it was the one that is meant.
  private func refusing(
    _ interface: NetworkInterface, _ body: () throws -> Void, until isIt: () throws -> Bool
  ) throws -> Bool {
    for occurrence in 1..<60 {
      do {
        try SystemCallSeam.forcing(.EINVAL, on: .netlinkSend, occurrence: occurrence, body)
        if try isIt() { return true }
      } catch is DevmemError {
        // A request that has to succeed.
      }
    }
    return false
  }

  @Test("where hardware GRO has to come before the split, it is switched on, and off again")
  func hardwareGRO() throws {
    let nic = try SimulatedNIC()
    var ethtool = try EthtoolFamily()
    let wasOn = try ethtool.features(of: nic.interface).active.contains("rx-gro-hw")
    try ethtool.setFeature("rx-gro-hw", false, of: nic.interface)
    let before = try NICSnapshot(of: nic.interface)
    var setup: NICSetup?
    var everSplit = true
    let isFound = try refusing(nic.interface) {
      setup = try NICSetup(nic.interface, queues: [2])
    } until: {
      let now = try NICSnapshot(of: nic.interface)
      everSplit = everSplit && now.rings.dataSplit == .enabled
      if now.features.contains("rx-gro-hw") { return true }
      try setup?.restore()
      return false
    }
    #expect(isFound)
    #expect(everSplit)
    try setup?.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
    try ethtool.setFeature("rx-gro-hw", wasOn, of: nic.interface)
  }

  @Test("a split that was off and cannot be set to off comes back as automatic")
  func automaticSplit() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    #expect(before.rings.dataSplit == .disabled)
    let setup = try NICSetup(nic.interface, queues: [2])
    // The request that sets the split is the last one that restoring sends.
    let counts = try SystemCallSeam.counting { try setup.restore() }
    #expect(try NICSnapshot(of: nic.interface) == before)
    let again = try NICSetup(nic.interface, queues: [2])
    let last = try #require(counts[.netlinkSend])
    try SystemCallSeam.forcing(.EINVAL, on: .netlinkSend, occurrence: last) { try again.restore() }
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("the last queues are chosen, and one is left")
  func lastQueues() throws {
    let nic = try SimulatedNIC()
    let count = try NICSnapshot(of: nic.interface).channels.current.receiveQueueCount
    #expect(try NICSetup.lastQueues(1, of: nic.interface) == [count - 1])
    #expect(try NICSetup.lastQueues(2, of: nic.interface) == [count - 2, count - 1])
    for wrong in [0, Int(count)] {
      let error = nic.error { () throws(DevmemError) in
        try NICSetup.lastQueues(wrong, of: nic.interface)
      }
      #expect(error?.code == .settingUnsupported)
    }
  }

  @Test("contexts of receive side scaling are made and deleted; rules can use them")
  func contexts() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    var ethtool = try EthtoolFamily()
    let size = before.rss.indirection.count
    let context = try ethtool.createRSSContext(
      on: nic.interface, indirection: (0..<size).map { [2, 3][$0 % 2] })
    #expect(try ethtool.rss(of: nic.interface, context: context).indirection.prefix(2) == [2, 3])
    let rule = try ethtool.insertRule(
      SteeringRule(.tcp4, destination: .init(port: 5201), queue: 0, context: context),
      on: nic.interface)
    #expect(try ethtool.rules(of: nic.interface).contains { $0.context == context })
    #expect(
      nic.error { () throws(DevmemError) in
        try ethtool.deleteRSSContext(context, on: nic.interface)
      } != nil, "a rule uses it")
    try ethtool.deleteRule(at: rule, of: nic.interface)
    try ethtool.deleteRSSContext(context, on: nic.interface)
    #expect(
      nic.error { () throws(DevmemError) in
        try ethtool.rss(of: nic.interface, context: context)
      } != nil)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("the ioctls leave nothing behind, whichever call fails")
  func forcedIoctls() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let name = try SimulatedNIC().interface.name
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        // No driver is an answer too; and the second attempts to take away are for the first ones.
        case (.ethtoolDriver, _): forced.errno == .EOPNOTSUPP
        case (.ethtoolDeleteRule, 2), (.ethtoolDeleteContext, 2): true
        default: false
        }
      }) {
        let ioctl = try EthtoolIoctl()
        do throws(Errno) {
          _ = try ioctl.driver(of: name)
        } catch {
          // It may have none that the kernel knows of.
          if error != .EOPNOTSUPP { throw error }
        }
        guard try ioctl.receiveQueueCount(of: name) > 0 else { throw Errno.ENODEV }
        let table = try ioctl.indirection(of: name)
        try ioctl.setIndirection(of: name, to: table)
        try ioctl.setIndirection(of: name, to: [])
        _ = try ioctl.ruleLocations(of: name)
        let context = try ioctl.createContext(on: name, queues: table)
        // Once more at the end, for where it was made to fail.
        defer { try? ioctl.deleteContext(context, on: name) }
        let place = try ioctl.insertRule(
          SteeringRule(.tcp4, destination: .init(port: 1), queue: 0, context: context), on: name)
        defer { try? ioctl.deleteRule(at: place, of: name) }
        guard try ioctl.rule(at: place, of: name).context == context else { throw Errno.EIO }
        try ioctl.deleteRule(at: place, of: name)
        try ioctl.deleteContext(context, on: name)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
