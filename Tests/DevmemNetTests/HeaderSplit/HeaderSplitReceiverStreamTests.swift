// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Testing

@Suite("HeaderSplitReceiver on a stream")
struct HeaderSplitReceiverStreamTests {
  @Test(
    "packets of random sizes arrive whole, however the stream is cut",
    arguments: [1, 2, 3, 4, 5, 6, 7, 8])
  func randomSizes(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let iovByteCount = [256, 1024, 4096].randomElement(using: &random)!
    let maximum = 9 * iovByteCount + 17
    let wire = try Wire(iovByteCount: iovByteCount)
    let edges = [
      0, 1, iovByteCount - 1, iovByteCount, iovByteCount + 1, 2 * iovByteCount, maximum - 1,
      maximum,
    ]
    var sent: [[UInt8]] = []
    var stream: [UInt8] = []
    for _ in 0..<60 {
      let size =
        Bool.random(using: &random)
        ? edges.randomElement(using: &random)! : Int.random(in: 0...maximum, using: &random)
      let payload = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
      sent.append(payload)
      stream += Wire.packet(payload)
    }

    var receiver = try wire.receiver(maximum: maximum)
    var packet = receiver.makePacket()
    var received = 0
    var rest = stream[...]
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        let expected = sent[received]
        #expect(packet.payloadByteCount == expected.count)
        #expect(packet.fragmentCount == (expected.count + iovByteCount - 1) / iovByteCount)
        #expect(try packet.headerBytes() == Wire.header(size: UInt64(expected.count)))
        try #require(try packet.payloadBytes() == expected, "seed \(seed), packet \(received)")
        received += 1
      case .wouldBlock:
        #expect(packet.payloadByteCount == 0 && packet.fragmentCount == 0)
        if rest.isEmpty {
          wire.finish()
        } else {
          let piece = rest.prefix(Int.random(in: 1...(2 * iovByteCount), using: &random))
          try wire.write(piece)
          rest = rest.dropFirst(piece.count)
        }
      case .endOfStream: break loop
      case .exhausted(let role): Issue.record("\(role) pool exhausted")
      }
    }
    #expect(received == sent.count)
    #expect(wire.heldCount == 0)
  }

  @Test("a blocking socket waits for the sender, who gathers header and payload")
  func blocking() throws {
    let wire = try Wire(iovCount: 512, isBlocking: true)
    let worker = Worker()
    defer { worker.stop() }
    var random = SeededGenerator(seed: 99)
    let payloads = (0..<40).map { _ in
      (0..<Int.random(in: 0...200_000, using: &random)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }
    let sender = SenderBox(try wire.sender())
    worker.start {
      for payload in payloads {
        sender.with { sender in
          try? unsafe sender.send(
            header: Wire.header(size: UInt64(payload.count)).span.bytes, payload: payload.span.bytes
          )
        }
      }
      sender.drop()
    }
    var receiver = try wire.receiver(maximum: 200_000)
    var packet = receiver.makePacket()
    for payload in payloads {
      #expect(try receiver.receive(into: &packet) == .packet)
      try #require(try packet.payloadBytes() == payload)
    }
  }

  @Test("the next header comes along: small packets that wait cost one system call each")
  func readAhead() throws {
    let wire = try Wire()
    for size in 1...20 { try wire.write(Wire.packet([UInt8](repeating: 1, count: size))) }
    var receiver = try wire.receiver(maximum: 1024)
    var packet = receiver.makePacket()
    let counts = try SystemCallSeam.counting {
      for _ in 1...20 {
        let outcome = try receiver.receive(into: &packet)
        #expect(outcome == .packet)
      }
    }
    #expect(counts[.tcpReceive] == 21)
  }

  @Test("payload goes to the payload pool's device memory, the header to host memory")
  func kinds() throws {
    let wire = try Wire()
    try wire.write(Wire.packet([UInt8](repeating: 5, count: 3000)))
    var receiver = try wire.receiver(maximum: 4096)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    for position in 0..<3 {
      packet.withFragment(at: position) { fragment in
        #expect(fragment.kind == .device)
        #expect(fragment.placement == .pool)
        #expect(fragment.offset % 1024 == 0)
        #expect(fragment.byteCount == (position < 2 ? 1024 : 952))
      }
    }
    let kind = packet.takeHeader()?.kind
    #expect(kind == .host)
    #expect(packet.headerByteCount == 0)
  }

  @Test("the end of the stream between packets is no error, and says so again")
  func end() throws {
    let wire = try Wire()
    try wire.write(Wire.packet([1, 2, 3]))
    wire.finish()
    var receiver = try wire.receiver(maximum: 10)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    #expect(try receiver.receive(into: &packet) == .endOfStream)
    #expect(try receiver.receive(into: &packet) == .endOfStream)
    #expect(wire.heldCount == 0)
  }

  @Test("the end inside a header is an error with both counts", arguments: [1, 63])
  func endInHeader(count: Int) throws {
    let wire = try Wire()
    try wire.write(Wire.header(size: 5).prefix(count))
    wire.finish()
    var receiver = try wire.receiver(maximum: 10)
    try expectFinal(
      .truncatedHeader(receivedByteCount: count, expectedByteCount: 64), &receiver, wire)
  }

  @Test("the end inside a header that came along with a payload is an error", arguments: [1, 63])
  func endInNextHeader(count: Int) throws {
    let wire = try Wire()
    try wire.write(Wire.packet([7]) + Wire.header(size: 5).prefix(count))
    wire.finish()
    var receiver = try wire.receiver(maximum: 10)
    var packet = receiver.makePacket()
    #expect(try receiver.receive(into: &packet) == .packet)
    packet.removeAll()
    try expectFinal(
      .truncatedHeader(receivedByteCount: count, expectedByteCount: 64), &receiver, wire)
  }

  @Test("the end inside a payload is an error with both counts", arguments: [0, 1, 1024, 4999])
  func endInPayload(count: Int) throws {
    let wire = try Wire()
    try wire.write(Wire.packet([UInt8](repeating: 0, count: 5000)).prefix(64 + count))
    wire.finish()
    var receiver = try wire.receiver(maximum: 5000)
    try expectFinal(
      .truncatedPayload(receivedByteCount: count, expectedByteCount: 5000), &receiver, wire)
  }

  @Test("a payload above the maximum is refused before a buffer is taken for it")
  func oversize() throws {
    let wire = try Wire()
    try wire.write(Wire.header(size: 1025))
    var receiver = try wire.receiver(maximum: 1024)
    try expectFinal(
      .oversizePayload(announcedByteCount: 1025, maximumByteCount: 1024), &receiver, wire)
    #expect(wire.payload.statistics.allocationCount == 0)
  }

  @Test("a header without sense is refused")
  func malformed() throws {
    let wire = try Wire()
    try wire.write(Wire.header(size: 1 << 63))
    var receiver = try wire.receiver(maximum: 1024)
    try expectFinal(.malformedHeader, &receiver, wire)
  }

  @Test("a socket's error is passed on and the buffers come back")
  func socketError() throws {
    let wire = try Wire()
    try wire.write(Wire.packet([UInt8](repeating: 0, count: 100)))
    var receiver = try wire.receiver(maximum: 1024)
    try SystemCallSeam.forcing(.ECONNRESET, on: .tcpReceive, occurrence: 2) {
      try expectFinal(.socket(.ECONNRESET), &receiver, wire)
    }
  }

  @Test("interruptions and empty sockets lose nothing")
  func interruptions() throws {
    for error in [Errno.EINTR, .EAGAIN] {
      for occurrence in 1...2 {
        let wire = try Wire()
        try wire.write(Wire.packet([1, 2, 3]))
        var receiver = try wire.receiver(maximum: 1024)
        var packet = receiver.makePacket()
        try SystemCallSeam.forcing(error, on: .tcpReceive, occurrence: occurrence) {
          var outcome = try receiver.receive(into: &packet)
          if error == .EAGAIN {
            #expect(outcome == .wouldBlock)
            outcome = try receiver.receive(into: &packet)
          }
          #expect(outcome == .packet)
        }
        #expect(try packet.payloadBytes() == [1, 2, 3])
      }
    }
  }

  @Test("memory without a CPU mapping is refused with its role")
  func noCPUMapping() throws {
    let wire = try Wire(hasCPUMapping: false)
    try wire.write(Wire.packet([1]))
    var receiver = try wire.receiver(maximum: 1024)
    try expectFinal(.noCPUMapping(.payload), &receiver, wire)
  }

  @Test("dropping a receiver in the middle of a packet returns its buffers")
  func dropped() throws {
    let wire = try Wire()
    try wire.write(Wire.packet([UInt8](repeating: 0, count: 3000)).prefix(2000))
    do {
      var receiver = try wire.receiver(maximum: 4096)
      var packet = receiver.makePacket()
      #expect(try receiver.receive(into: &packet) == .wouldBlock)
      #expect(wire.payload.inFlight.held == 3)
    }
    #expect(wire.heldCount == 0)
  }

  @Test("what can't be received is refused at the start")
  func impossible() throws {
    let wire = try Wire()
    for largest in [Int.max, .max - 1] {
      do {
        _ = try wire.receiver(maximum: largest)
        Issue.record("more was taken than there is")
      } catch {
        guard case .tooManyFragments(_, limit: 1022)? = error as? HeaderSplitError else {
          throw error
        }
      }
    }
    #expect(throws: HeaderSplitError.tooManyFragments(count: 1023, limit: 1022)) {
      _ = try wire.receiver(maximum: 1022 * 1024 + 1)
    }
    _ = try wire.receiver(maximum: 1022 * 1024)
    let framing = HeaderFraming(headerByteCount: 4097, maximumPayloadByteCount: 1) { _ in 0 }
    #expect(
      throws: HeaderSplitError.headerExceedsBuffer(headerByteCount: 4097, bufferByteCount: 4096)
    ) {
      _ = try HeaderSplitReceiver(
        stream: try UnixSocket.pair(kind: .stream).0.descriptor.duplicate(), framing: framing,
        headers: wire.headers, payload: wire.payload)
    }
  }

  /// The receiver throws `error`, throws it again, and holds nothing.
  private func expectFinal(
    _ error: HeaderSplitError, _ receiver: inout HeaderSplitReceiver, _ wire: Wire
  ) throws {
    var packet = receiver.makePacket()
    for _ in 0..<2 {
      do {
        let outcome = try receiver.receive(into: &packet)
        Issue.record("expected \(error), got \(outcome)")
      } catch let thrown {
        #expect(thrown == error)
      }
    }
    #expect(packet.fragmentCount == 0)
    #expect(wire.heldCount == 0)
    #expect(!error.description.isEmpty)
  }
}
