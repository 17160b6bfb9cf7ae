// SPDX-License-Identifier: Apache-2.0

import CSystemShims
import Testing

@testable import DevmemSystem

@Suite struct SteeringRuleTests {
  @Test(
    "a rule survives the way into the kernel's form and back",
    arguments: [
      SteeringRule(.tcp4, destination: .init(port: 5201), queue: 7),
      SteeringRule(
        .tcp4, source: .init(address: IPAddress("192.0.2.9"), port: 1),
        destination: .init(address: IPAddress("198.51.100.255"), port: 65535), queue: 0),
      SteeringRule(
        .tcp6, source: .init(address: IPAddress("2001:db8::1")),
        destination: .init(address: IPAddress("fe80::ffff"), port: 5201), queue: 3),
      SteeringRule(.udp6, source: .init(port: 53), queue: 1, context: 2),
      SteeringRule(.udp4, queue: 0),
    ])
  func roundTrip(rule: SteeringRule) throws {
    var specification = try #require(rule.specification)
    specification.location = 42
    let read = SteeringRule(specification)
    #expect(read.transport == rule.transport)
    #expect(read.source == rule.source)
    #expect(read.destination == rule.destination)
    #expect(read.queue == rule.queue)
    #expect(read.context == rule.context)
    #expect(read.location == 42)
    #expect(!read.hasPartialMasks)
  }

  @Test("an address of the other family is no rule")
  func family() {
    let four = SteeringRule.Endpoint(address: IPAddress("192.0.2.1"))
    let six = SteeringRule.Endpoint(address: IPAddress("2001:db8::1"))
    #expect(SteeringRule(.tcp6, source: four, queue: 0).specification == nil)
    #expect(SteeringRule(.tcp4, destination: six, queue: 0).specification == nil)
    #expect(SteeringRule(.udp4, source: four, destination: six, queue: 0).specification == nil)
  }

  @Test("a rule that looks at parts of an address or a port says so")
  func partial() throws {
    var specification = try #require(SteeringRule(.tcp4, queue: 1).specification)
    specification.destination = (10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    specification.destination_mask = (255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    #expect(SteeringRule(specification).hasPartialMasks)
    #expect(SteeringRule(specification).destination.address == nil)
    specification.destination_mask.0 = 0
    #expect(!SteeringRule(specification).hasPartialMasks)
    specification.source_port_mask = 0xFF00
    #expect(SteeringRule(specification).hasPartialMasks)
  }

  @Test("addresses are read and written as people do")
  func addresses() {
    for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::5:0:1"] {
      #expect(IPAddress(text)?.description == text)
    }
    for text in ["", "192.0.2", "192.0.2.256", "1.2.3.4.5", "fe80::1%eth0", "host", "1::2::3"] {
      #expect(IPAddress(text) == nil, "\(text)")
    }
    #expect(IPAddress("192.0.2.1")?.isIPv6 == false)
    #expect(IPAddress("::1")?.isIPv6 == true)
    #expect(IPAddress(bytes: [1, 2, 3, 4, 5]) == nil)
  }
}
