// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Synchronization
import Testing

@testable import DevmemPagePool

@Suite("Watermarks")
struct WatermarkTests {
  private final class Log: Sendable {
    let levels = Mutex<[PagePool.Watermarks.Level]>([])
    var all: [PagePool.Watermarks.Level] { levels.withLock { $0 } }
  }

  @Test(
    "each crossing is reported once, the low one from whatever thread returns",
    arguments: [false, true])
  func crossings(onOwner: Bool) throws {
    let log = Log()
    let pool = try PagePool(
      provider: ListProvider(iovCount: 200),
      configuration: .init(
        refillCount: 10,
        watermarks: .init(low: 20, high: 100) { level in log.levels.withLock { $0.append(level) } })
    )
    let worker = Worker()
    for round in 1...3 {
      var held: [Held] = []
      for _ in 0..<150 { held.append(Held(try pool.take())) }
      #expect(log.all.count == 2 * round - 1)
      #expect(log.all.last == .high)
      let boxes = Array(held[..<129])
      held.removeFirst(129)
      if onOwner {
        for box in boxes { box.drop() }
      } else {
        worker.run { for box in boxes { box.drop() } }
      }
      #expect(log.all.last == .high)
      held.removeLast()
      #expect(pool.inFlight.held == 20)
      #expect(log.all.last == .low)
      #expect(log.all.count == 2 * round)
      held.removeAll()
      #expect(log.all.count == 2 * round)
    }
    worker.stop()
    #expect(pool.statistics.returnCount == pool.statistics.allocationCount)
  }

  @Test("the low crossing is reported by the last buffer of the reserve, too")
  func lastOfReserve() throws {
    let log = Log()
    let pool = try PagePool(
      provider: ListProvider(iovCount: 4),
      configuration: .init(
        refillCount: 1, reserveCount: 1,
        watermarks: .init(low: 0, high: 2) { level in log.levels.withLock { $0.append(level) } }))
    var held: [Held] = []
    for _ in 0..<3 { held.append(Held(try pool.take())) }
    let reserved = Held(try pool.take(.critical))
    #expect(log.all.count == 1)
    held.removeAll()
    #expect(log.all.count == 1)
    reserved.drop()
    #expect(pool.inFlight.held == 0)
    #expect(log.all.count == 2)
  }

  @Test("marks that make no sense are refused", arguments: [(-1, 5), (5, 5), (6, 5)])
  func invalid(low: Int, high: Int) {
    #expect(throws: PagePoolError.self) {
      try PagePool(
        provider: ListProvider(iovCount: 1),
        configuration: .init(watermarks: .init(low: low, high: high) { _ in }))
    }
  }
}
