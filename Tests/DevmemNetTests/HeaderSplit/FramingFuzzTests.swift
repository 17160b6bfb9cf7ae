// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Headers from the wire that say anything: a packet, an error or the end, and every buffer is
/// back.
@Suite struct FramingFuzzTests {
  private static func stream(_ random: inout SeededGenerator, maximum: Int) -> [UInt8] {
    var stream: [UInt8] = []
    for _ in 0...(random.next() & 3) {
      let count = Int(random.next() % UInt64(maximum + 2))
      var header = Wire.header(size: random.next() & 7 == 0 ? random.edge() : UInt64(count))
      if random.next() & 15 == 0 { random.damage(&header) }
      stream += header + [UInt8](repeating: 7, count: count)
    }
    if random.next() & 3 == 0 { random.damage(&stream) }
    return stream
  }

  /// Receives until it is over.
  private static func drain(_ receiver: inout HeaderSplitReceiver, maximum: Int) {
    var packet = receiver.makePacket()
    // Each packet takes a header at least, so there is an end of them.
    for _ in 0..<4096 {
      do {
        switch try receiver.receive(into: &packet) {
        case .packet: precondition(packet.payloadByteCount <= maximum)
        case .wouldBlock, .endOfStream: return
        case .exhausted: fatalError("a pool is exhausted")
        }
      } catch {
        switch error {
        // The next datagram can be received.
        case .shortDatagram, .oversizeDatagram: continue
        default: return
        }
      }
    }
    fatalError("more packets than there were bytes")
  }

  @Test("a stream", arguments: [1, 700, 3000])
  func streams(maximum: Int) throws {
    try Fuzzing.forEach(orElse: 1000) { random in
      let wire = try Wire(headerCount: 4, iovCount: 16, iovByteCount: 256)
      do {
        try wire.write(Self.stream(&random, maximum: maximum))
        wire.finish()
        var receiver = try wire.receiver(maximum: maximum)
        Self.drain(&receiver, maximum: maximum)
      }
      try #require(wire.heldCount == 0)
    }
  }

  @Test("datagrams")
  func datagrams() throws {
    try Fuzzing.forEach(orElse: 2000) { random in
      let wire = try Wire(headerCount: 4, iovCount: 16, iovByteCount: 256, kind: .sequencedPacket)
      do {
        for _ in 0...(random.next() & 3) {
          let bytes =
            random.next() & 1 == 0
            ? random.bytes(upTo: 200) : Self.stream(&random, maximum: 700)
          if !bytes.isEmpty { try wire.write(bytes) }
        }
        var receiver = try wire.datagramReceiver(maximum: 700)
        Self.drain(&receiver, maximum: 700)
      }
      try #require(wire.heldCount == 0)
    }
  }
}
