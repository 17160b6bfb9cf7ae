// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import DevmemNIC

/// Settings of an interface that has none: the loopback interface, which is on any machine.
@Suite struct EthtoolFamilyTests {
  private func code(_ body: () throws(DevmemError) -> Void) -> DevmemError.Code? {
    do throws(DevmemError) {
      try body()
      return nil
    } catch {
      #expect(error.interface == "lo")
      #expect(error.operation.contains("lo"))
      return error.code
    }
  }

  @Test("the loopback interface has features, and nothing else that could be set")
  func loopback() throws {
    let loopback = try NetworkInterface(named: "lo")
    var ethtool = try EthtoolFamily()
    #expect(try ethtool.features(of: loopback).active.contains("tx-scatter-gather"))
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.rings(of: loopback) }
        == .settingUnsupported)
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.channels(of: loopback) }
        == .settingUnsupported)
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.rules(of: loopback) }
        == .settingUnsupported)
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.receiveQueueCount(of: loopback) }
        == .settingUnsupported)
  }

  @Test("setting the loopback interface up fails, and names it and what could")
  func setup() throws {
    let loopback = try NetworkInterface(named: "lo")
    do throws(DevmemError) {
      _ = try NICSetup(loopback, queues: [0])
      Issue.record("the loopback interface splits headers")
    } catch {
      // As nobody in particular one may not ask, and an old kernel cannot be asked.
      #expect(
        [.receiveUnsupported, .permissionDenied, .kernelUnsupported].contains(error.code))
      guard error.code == .receiveUnsupported else { return }
      #expect(error.interface == loopback.name)
      #expect(error.remedy?.contains("lo lacks") == true)
      #expect(error.remedy?.contains("tcp-data-split") == true)
    }
    #expect(
      code { () throws(DevmemError) in _ = try NICSetup(loopback, queues: []) }
        == .invalidArgument)
    #expect(
      code { () throws(DevmemError) in _ = try NICSetup(loopback, queues: [1, 1]) }
        == .invalidArgument)
    #expect(
      code { () throws(DevmemError) in
        _ = try NICSetup(loopback, queues: [1], rules: [SteeringRule(.tcp4, queue: 2)])
      } == .invalidArgument)
  }

  @Test("an interface that has gone is missing, by netlink and by ioctl")
  func gone() throws {
    let gone = NetworkInterface(name: "lo", index: 0x7FFF_FFFF)
    var ethtool = try EthtoolFamily()
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.rings(of: gone) } == .interfaceMissing)
    #expect(
      code { () throws(DevmemError) in _ = try ethtool.rules(of: gone) } == .interfaceMissing)
  }

  @Test("which features are on, and which of them can be switched, are different sets")
  func features() throws {
    let loopback = try NetworkInterface(named: "lo")
    var ethtool = try EthtoolFamily()
    let features = try ethtool.features(of: loopback)
    // drivers/net/loopback.c: always on, and nobody can switch it off.
    #expect(features.active.contains("loopback"))
    #expect(!features.changeable.contains("loopback"))
    // What the kernel does in software can be switched on any device.
    #expect(features.changeable.contains("rx-gro"))
  }

  @Test("reading settings leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict(tolerates: { forced in
        // What the loopback interface answers without help.
        forced.errno == .EOPNOTSUPP && forced.call != .netlinkOpen
      }) {
        let loopback = try NetworkInterface(named: "lo")
        var ethtool = try EthtoolFamily()
        _ = try ethtool.features(of: loopback)
        do throws(DevmemError) {
          _ = try ethtool.rules(of: loopback)
        } catch {
          if error.underlying != .EOPNOTSUPP { throw error }
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
