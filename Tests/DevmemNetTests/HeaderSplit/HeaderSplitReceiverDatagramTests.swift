// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Testing

@Suite("HeaderSplitReceiver on datagrams")
struct HeaderSplitReceiverDatagramTests {
  @Test("datagrams of random sizes are split at the header")
  func randomSizes() throws {
    let wire = try Wire(kind: .sequencedPacket)
    var receiver = try wire.datagramReceiver(maximum: 5000)
    var packet = receiver.makePacket()
    var random = SeededGenerator(seed: 4)
    for size in [0, 1, 1023, 1024, 1025, 4999, 5000]
      + (0..<50).map({ _ in Int.random(in: 0...5000, using: &random) })
    {
      let payload = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
      try wire.write(Wire.packet(payload))
      #expect(try receiver.receive(into: &packet) == .packet)
      #expect(packet.fragmentCount == (size + 1023) / 1024)
      #expect(try packet.headerBytes() == Wire.header(size: UInt64(size)))
      try #require(try packet.payloadBytes() == payload)
    }
    #expect(try receiver.receive(into: &packet) == .wouldBlock)
  }

  @Test("a short datagram is an error, and the next one arrives")
  func short() throws {
    let wire = try Wire(kind: .sequencedPacket)
    var receiver = try wire.datagramReceiver(maximum: 5000)
    var packet = receiver.makePacket()
    try wire.write(Wire.header(size: 0).prefix(63))
    #expect(throws: HeaderSplitError.shortDatagram(byteCount: 63, headerByteCount: 64)) {
      _ = try receiver.receive(into: &packet)
    }
    try wire.write(Wire.packet([9]))
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(try packet.payloadBytes() == [9])
  }

  @Test("a datagram one byte too long is an error, and the next one arrives")
  func oversize() throws {
    let wire = try Wire(kind: .sequencedPacket)
    var receiver = try wire.datagramReceiver(maximum: 2048)
    var packet = receiver.makePacket()
    try wire.write(Wire.packet([UInt8](repeating: 1, count: 2049)))
    #expect(throws: HeaderSplitError.oversizeDatagram(maximumPayloadByteCount: 2048)) {
      _ = try receiver.receive(into: &packet)
    }
    try wire.write(Wire.packet([UInt8](repeating: 2, count: 2048)))
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(packet.payloadByteCount == 2048)
  }

  @Test("an exhausted pool leaves the datagram in the socket")
  func exhausted() throws {
    let wire = try Wire(iovCount: 3, kind: .sequencedPacket)
    var receiver = try wire.datagramReceiver(maximum: 2048)
    var held = receiver.makePacket()
    var packet = receiver.makePacket()
    try wire.write(Wire.packet([UInt8](repeating: 1, count: 2000)))
    try wire.write(Wire.packet([2]))
    #expect(try receiver.receive(into: &held) == .packet)
    #expect(try receiver.receive(into: &packet) == .exhausted(.payload))
    held.removeAll()
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(try packet.payloadBytes() == [2])
  }

  @Test("posted buffers go back with the receiver")
  func dropped() throws {
    let wire = try Wire(kind: .sequencedPacket)
    do {
      var receiver = try wire.datagramReceiver(maximum: 2048)
      var packet = receiver.makePacket()
      #expect(try receiver.receive(into: &packet) == .wouldBlock)
      #expect(wire.heldCount == 3)
    }
    #expect(wire.heldCount == 0)
  }
}
