// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemTestSupport
import Testing

@testable import DevmemNIC
@testable import DevmemSystem

/// What the library makes of answers that no kernel should give: truncated, nested wrongly, with
/// lengths that lie, of other requests, without an end.
@Suite struct NetlinkFuzzTests {
  /// Any number may name an attribute.
  private struct AnyName: NetlinkAttributeName {
    let rawValue: UInt16
  }

  private static func fill(
    _ request: inout NetlinkRequest, _ random: inout SeededGenerator, depth: Int = 0
  ) {
    for _ in 0..<(random.next() % 6) {
      let name = AnyName(rawValue: UInt16(random.next() % 40))
      switch random.next() % 7 {
      case 0: request.append(name, uint8: UInt8(truncatingIfNeeded: random.edge()))
      case 1, 2: request.append(name, uint32: UInt32(truncatingIfNeeded: random.edge()))
      case 3: request.append(name, unsigned: random.edge())
      case 4: request.append(name, string: "rx-\(random.next() % 4)")
      case 5: request.append(name, bytes: random.bytes(upTo: 24))
      default:
        guard depth < 4 else { continue }
        var inner = random
        request.append(name) { Self.fill(&$0, &inner, depth: depth + 1) }
        random = inner
      }
    }
  }

  /// A number in a request that came, little endian.
  private static func number(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> UInt32 {
    (0..<width).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
  }

  /// Sets `nlmsg_pid`.
  private static func address(_ message: inout [UInt8], to port: UInt32) {
    for position in 0..<4 {
      message[12 + position] = UInt8(truncatingIfNeeded: port >> UInt32(8 * position))
    }
  }

  private static func verdict(type: UInt8, error: Int32, _ sequence: UInt32, _ port: UInt32)
    -> [UInt8]
  {
    func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
      unsafe withUnsafeBytes(of: value.littleEndian) { unsafe Array($0) }
    }
    return bytes(UInt32(36)) + [type, 0, 0, 0] + bytes(sequence) + bytes(port) + bytes(error)
      + [UInt8](repeating: 0, count: 16)
  }

  /// The controller's answer: every command is there.
  private static func family(_ name: String) -> NetlinkRequest {
    var answer = NetlinkRequest(family: 16, command: 1, version: 2)
    answer.append(AnyName(rawValue: 1), bytes: [30, 0])
    answer.append(AnyName(rawValue: 2), string: name)
    answer.append(AnyName(rawValue: 6)) { operations in
      for command in 1...60 as ClosedRange<UInt32> {
        operations.append(AnyName(rawValue: UInt16(command))) {
          $0.append(AnyName(rawValue: 1), uint32: command)
        }
      }
    }
    return answer
  }

  /// Datagrams for one request.
  private static func answers(
    to request: [UInt8], port: UInt32, _ random: inout SeededGenerator
  ) -> [[UInt8]] {
    let type = UInt16(truncatingIfNeeded: number(request, 4, 2))
    let sequence = number(request, 8, 4)
    let isController = type == 16
    var messages: [[UInt8]] = []
    for _ in 0...(random.next() % 3) {
      var answer =
        isController
        ? family(random.next() & 1 == 0 ? "netdev" : "ethtool")
        : NetlinkRequest(family: type, command: UInt8(random.next() % 40), version: 1)
      if !isController { fill(&answer, &random) }
      var bytes = answer.message(
        flags: random.next() & 15 == 0 ? 0x12 : 2,
        sequence: random.next() & 31 == 0 ? sequence &- 1 : sequence)
      address(&bytes, to: random.next() & 31 == 0 ? port &+ 1 : port)
      // The controller's are mostly left whole: behind them is what is asked next.
      if random.next() & (isController ? 31 : 1) == 0 { random.damage(&bytes) }
      messages.append(bytes)
    }
    if random.next() & 15 != 0 {
      let error = random.next() & 7 == 0 ? Int32(truncatingIfNeeded: random.edge()) : 0
      var end = verdict(type: UInt8(2 + random.next() & 1), error: error, sequence, port)
      if random.next() & 7 == 0 { random.damage(&end) }
      messages.append(end)
    }
    // In one datagram, or each in its own.
    return random.next() & 1 == 0 ? [messages.flatMap { $0 }] : messages
  }

  /// Asks everything that can be asked.
  private static func ask(_ random: inout SeededGenerator) throws {
    let interface = try NetworkInterface(named: "lo")
    if random.next() & 1 == 0 {
      var family = try NetdevFamily()
      switch random.next() % 9 {
      case 0: _ = try family.devices()
      case 1: _ = try family.device(interface)
      case 2: _ = try family.queues()
      case 3: _ = try family.queue(.receive, 1, of: interface)
      case 4: _ = try family.pagePools(of: interface)
      case 5: _ = try family.pagePoolStatistics()
      case 6: _ = try family.queueStatistics(perQueue: true)
      case 7: _ = try family.napis()
      default:
        _ = try family.bindReceive(0, interface: interface, queues: [1], pageByteCount: 8192)
      }
    } else {
      var family = try EthtoolFamily()
      switch random.next() % 5 {
      case 0: _ = try family.rings(of: interface)
      case 1: _ = try family.channels(of: interface)
      case 2: _ = try family.features(of: interface)
      case 3: _ = try family.rss(of: interface)
      default: try family.setFeature("rx-1", true, of: interface)
      }
    }
  }

  @Test("any answer is read as far as it makes sense; nothing is waited for that does not come")
  func answers() async {
    await #expect(processExitsWith: .success) {
      // What is opened once.
      _ = try? NetdevFamily()
      let held = try ResourceCount.now()
      var understood = 0
      Fuzzing.forEach(orElse: 4000) { random in
        let box = GeneratorBox(random)
        let isAnswered = SystemCallSeam.answeringNetlink { request, port in
          Self.answers(to: request, port: port, &box.generator)
        } _: {
          (try? Self.ask(&random)) != nil
        }
        if isAnswered { understood += 1 }
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
      // Else the made-up answers would all be refused for the same reason.
      precondition(understood > 0, "no answer was understood")
    }
  }

  private final class GeneratorBox {
    var generator: SeededGenerator
    init(_ generator: SeededGenerator) { self.generator = generator }
  }

  @Test("a record of a card's settings that somebody else wrote is read whole, or not at all")
  func records() throws {
    let rule = SteeringRule(
      .tcp4, source: .init(address: IPAddress("10.0.0.1"), port: 1), destination: .init(port: 5201),
      queue: 3)
    var record = NICRecord()
    record.found.combined = 4
    record.found.dataSplit = .enabled
    record.found.spreading = .table([0, 1, 2])
    record.found.featuresOff = ["rx-ntuple-filter"]
    record.owners = [
      NICRecord.Owner(
        number: 1 << 40, isKept: false, queues: [3], rules: [.init(rule: rule, location: 7)])
    ]
    let whole = record.text(boot: "b")
    #expect(NICRecord(whole, boot: "b") == record)
    try Fuzzing.forEach(orElse: 5000) { random in
      var bytes = Array(whole.utf8)
      random.damage(&bytes)
      let text = String(decoding: bytes, as: UTF8.self)
      guard let read = NICRecord(text, boot: "b") else { return }
      // What was understood means the same when it is written again.
      try #require(NICRecord(read.text(boot: "b"), boot: "b") == read, "\(text)")
    }
  }
}
