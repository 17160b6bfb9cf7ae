// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Testing

@Suite("HeaderSplitReceiver without buffers")
struct HeaderSplitReceiverExhaustionTests {
  @Test("an exhausted payload pool is said, nothing is lost, and a returned buffer lets it go on")
  func payload() throws {
    let wire = try Wire(iovCount: 4)
    let first = [UInt8](repeating: 1, count: 3000)
    let second = [UInt8](repeating: 2, count: 2500)
    try wire.write(Wire.packet(first) + Wire.packet(second))
    var receiver = try wire.receiver(maximum: 4096)
    var held = receiver.makePacket()
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &held) == .packet)
    #expect(try receiver.receive(into: &packet) == .exhausted(.payload))
    #expect(try receiver.receive(into: &packet) == .exhausted(.payload))
    #expect(try held.payloadBytes() == first)
    _ = held.popFirstFragment()
    #expect(try receiver.receive(into: &packet) == .exhausted(.payload))
    _ = held.popFirstFragment()
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(try packet.payloadBytes() == second)
    held.removeAll()
    packet.removeAll()
    #expect(try receiver.receive(into: &packet) == .wouldBlock)
    #expect(wire.payload.inFlight.held == 0)
  }

  @Test("with a single header buffer packets still arrive, one held header stops them")
  func header() throws {
    let wire = try Wire(headerCount: 1)
    try wire.write(Wire.packet([1]) + Wire.packet([2]) + Wire.packet([3]))
    var receiver = try wire.receiver(maximum: 16)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    var second = receiver.makePacket()
    #expect(try receiver.receive(into: &second) == .exhausted(.header))
    #expect(try packet.payloadBytes() == [1])
    packet.removeAll()
    #expect(try receiver.receive(into: &second) == .packet)
    #expect(try second.payloadBytes() == [2])
    #expect(try receiver.receive(into: &second) == .packet)
    #expect(try second.payloadBytes() == [3])
    second.removeAll()
    #expect(try receiver.receive(into: &second) == .wouldBlock)
  }

  @Test("fragments that are detached to tokens stay out until they are reclaimed")
  func tokens() throws {
    let wire = try Wire(iovCount: 2)
    try wire.write(Wire.packet([UInt8](repeating: 3, count: 2048)) + Wire.packet([4]))
    var receiver = try wire.receiver(maximum: 2048)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    var tokens: [NetmemToken] = []
    while let fragment = packet.popFirstFragment() {
      if let netmem = fragment.takeNetmem() { tokens.append(netmem.detach()) }
    }
    #expect(tokens.count == 2)
    #expect(try receiver.receive(into: &packet) == .exhausted(.payload))
    for token in tokens { _ = try wire.payload.reclaim(token) }
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(try packet.payloadBytes() == [4])
  }
}
