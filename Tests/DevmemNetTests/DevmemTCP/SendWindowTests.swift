// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemTestSupport
import Testing

@testable import DevmemNet

/// The bookkeeping of what the kernel may still read, against a model of a few lines.
@Suite("SendWindow")
struct SendWindowTests {
  /// What should be: which calls are open, and which of them each packet waits for.
  private struct Model {
    struct Sent {
      var calls: Set<UInt32>
      var fragmentCount: Int
    }
    var packets: [Sent] = []
    var openCalls: Set<UInt32> = []
    var fragmentCount: Int { packets.reduce(0) { $0 + ($1.calls.isEmpty ? 0 : $1.fragmentCount) } }

    mutating func complete(_ call: UInt32) -> Bool {
      guard openCalls.remove(call) != nil else { return false }
      for index in packets.indices { packets[index].calls.remove(call) }
      return true
    }
  }

  private static func packet(_ count: Int, _ pool: PagePool) throws -> Packet {
    var packet = Packet(fragmentCapacity: max(count, 1))
    for _ in 0..<count {
      packet.append(PayloadFragment(netmem: try pool.take(), offsetInIOV: 0, byteCount: 100))
    }
    return packet
  }

  @Test(
    "completions in any order, coalesced, across the wrap, release exactly what is done",
    arguments: [1, 2, 3, 4] as [UInt64],
    [0, 1, UInt32.max - 100, UInt32.max, 1 << 31])
  func model(seed: UInt64, firstCall: UInt32) throws {
    var random = SeededGenerator(seed: seed)
    let pool = try PagePool(provider: try ListProvider(iovCount: 256, iovByteCount: 256))
    var window = SendWindow(callLimit: 32, fragmentLimit: 64, firstCall: firstCall)
    var model = Model()
    var refused = 0
    for _ in 0..<1000 {
      if Int.random(in: 0..<10, using: &random) < 5 {
        let count = Int.random(in: 1...12, using: &random)
        guard window.hasRoom(forFragments: count) else {
          refused += 1
          continue
        }
        var packet = try Self.packet(count, pool)
        window.open(&packet.fragments)
        var calls: Set<UInt32> = []
        // A packet takes several calls now and then, or none, when it is all copied.
        for _ in 0..<[0, 1, 1, 1, 2, 3].randomElement(using: &random)! where window.hasRoomForCall {
          calls.insert(window.nextCall)
          window.count()
        }
        model.openCalls.formUnion(calls)
        window.close()
        model.packets.append(Model.Sent(calls: calls, fragmentCount: count))
      } else if let start = model.openCalls.randomElement(using: &random) {
        // A range as the kernel makes them: calls that are open, one after the other.
        var last = start
        while model.openCalls.contains(last &+ 1), Int.random(in: 0..<4, using: &random) > 0 {
          last &+= 1
        }
        var expected = 0
        var call = start
        while true {
          if model.complete(call) { expected += 1 }
          if call == last { break }
          call &+= 1
        }
        #expect(window.complete(first: start, last: last) == expected)
      }
      try #require(window.callCount == model.openCalls.count, "seed \(seed)")
      try #require(window.fragmentCount == model.fragmentCount, "seed \(seed)")
      try #require(window.byteCount == 100 * model.fragmentCount)
      try #require(pool.inFlight.held == model.fragmentCount, "seed \(seed)")
    }
    #expect(refused > 0)
    #expect(window.unexpectedCount == 0)
    for call in model.openCalls.sorted() { window.complete(first: call, last: call) }
    #expect(window.isEmpty == true)
    #expect(pool.inFlight.held == 0)
  }

  @Test("numbers that are not in flight change nothing and are counted")
  func unexpected() throws {
    let pool = try PagePool(provider: try ListProvider(iovCount: 8, iovByteCount: 256))
    var window = SendWindow(callLimit: 4, fragmentLimit: 8, firstCall: 10)
    var packet = try Self.packet(2, pool)
    window.open(&packet.fragments)
    window.count()
    window.close()
    #expect(window.complete(first: 11, last: 11) == 0)
    #expect(window.complete(first: 9, last: 9) == 0)
    #expect(window.complete(first: 10 &+ 4, last: 10 &+ 4) == 0)
    #expect(window.unexpectedCount == 3)
    #expect(pool.inFlight.held == 2)
    #expect(window.complete(first: 10, last: 10) == 1)
    #expect(window.complete(first: 10, last: 10) == 0)
    #expect(window.unexpectedCount == 4)
    #expect(pool.inFlight.held == 0)
    // A range without end is not walked to its end.
    #expect(window.complete(first: 0, last: .max) == 0)
  }

  @Test("a packet in several calls is kept until the last of them, in whatever order")
  func partial() throws {
    let pool = try PagePool(provider: try ListProvider(iovCount: 8, iovByteCount: 256))
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] as [[UInt32]] {
      var window = SendWindow(callLimit: 4, fragmentLimit: 8)
      var packet = try Self.packet(3, pool)
      window.open(&packet.fragments)
      for _ in 0..<3 { window.count() }
      window.complete(first: order[0], last: order[0])
      window.close()
      #expect(pool.inFlight.held == 3)
      window.complete(first: order[1], last: order[1])
      #expect(pool.inFlight.held == 3)
      window.complete(first: order[2], last: order[2])
      #expect(pool.inFlight.held == 0)
      #expect(window.isEmpty == true)
    }
  }

  @Test("an open packet whose calls are all done is kept: more may follow")
  func open() throws {
    let pool = try PagePool(provider: try ListProvider(iovCount: 8, iovByteCount: 256))
    var window = SendWindow(callLimit: 4, fragmentLimit: 8)
    var packet = try Self.packet(3, pool)
    window.open(&packet.fragments)
    window.count()
    window.complete(first: 0, last: 0)
    #expect(pool.inFlight.held == 3)
    window.close()
    #expect(pool.inFlight.held == 0)
  }

  @Test("a window that ends with packets in flight returns their buffers")
  func dropped() throws {
    let pool = try PagePool(provider: try ListProvider(iovCount: 8, iovByteCount: 256))
    do {
      var window = SendWindow(callLimit: 4, fragmentLimit: 8)
      for _ in 0..<2 {
        var packet = try Self.packet(2, pool)
        window.open(&packet.fragments)
        window.count()
        window.close()
      }
      window.complete(first: 1, last: 1)
      #expect(pool.inFlight.held == 2)
    }
    #expect(pool.inFlight.held == 0)
  }
}
