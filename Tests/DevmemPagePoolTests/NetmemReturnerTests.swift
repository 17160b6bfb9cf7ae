// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Returning through a returner")
struct NetmemReturnerTests {
  private final class Box: @unchecked Sendable {
    var returner: NetmemReturner?
    var held: [Held] = []

    func putAll() throws {
      for buffer in held { returner?.put(try buffer.taken()) }
      held = []
    }
  }

  @Test("buffers wait until it is full, flushed or gone", arguments: [false, true])
  func collects(onOwner: Bool) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let box = Box()
    box.returner = NetmemReturner(capacity: 8)
    let worker = Worker()
    defer { worker.stop() }
    func onThread(_ body: @escaping @Sendable () -> Void) {
      if onOwner { body() } else { worker.run(body) }
    }

    for _ in 0..<20 { box.held.append(Held(try pool.take())) }
    onThread { try? box.putAll() }
    #expect(box.returner?.count == 4)
    #expect(pool.inFlight.held == 4)
    #expect(pool.inFlight.queued == (onOwner ? 0 : 16))

    onThread { box.returner?.flush() }
    #expect(box.returner?.count == 0)
    #expect(pool.inFlight.held == 0)

    box.held.append(Held(try pool.take()))
    onThread { try? box.putAll() }
    #expect(pool.inFlight.held == 1)
    onThread { box.returner = nil }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == 21)
  }

  @Test(
    "buffers come back across the end of the ring, as often as it goes round",
    arguments: [1, 7, 48])
  func goesRound(count: Int) throws {
    let pool = try PagePool(
      provider: ListProvider(iovCount: 64),
      configuration: .init(cacheCapacity: 64, refillCount: 64, ringCapacity: 64))
    let box = Box()
    box.returner = NetmemReturner(capacity: 64)
    let worker = Worker()
    for _ in 0..<200 {
      for _ in 0..<count { box.held.append(Held(try pool.take())) }
      #expect(Set(box.held.map { held in held.with { $0.offset } }).count == count)
      worker.run {
        try? box.putAll()
        box.returner?.flush()
      }
      #expect(pool.inFlight.held == 0)
    }
    worker.stop()
    #expect(pool.statistics.returnCount == UInt64(200 * count))
  }

  @Test("buffers of several pools in turns all go back, each to its own", arguments: [false, true])
  func pools(onOwner: Bool) throws {
    let pools = try (0..<3).map { _ in try PagePool(provider: ListProvider(iovCount: 64)) }
    let box = Box()
    box.returner = NetmemReturner(capacity: 8)
    for _ in 0..<4 { for pool in pools { box.held.append(Held(try pool.take())) } }
    let worker = Worker()
    defer { worker.stop() }
    if onOwner { try box.putAll() } else { worker.run { try? box.putAll() } }
    #expect(box.returner?.count == 4)
    #expect(pools.map(\.inFlight.held).reduce(0, +) == 4)
    if onOwner { box.returner = nil } else { worker.run { box.returner = nil } }
    #expect(pools.map(\.inFlight.held) == [0, 0, 0])
    #expect(pools.map(\.statistics.returnCount) == [4, 4, 4])
  }

  @Test("of a shared buffer only the handles end, when it is flushed", arguments: [false, true])
  func shared(onOwner: Bool) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let box = Box()
    box.returner = NetmemReturner()
    let netmem = try pool.take()
    for _ in 0..<2 { box.held.append(Held(netmem.share())) }
    box.held.append(Held(try pool.take()))
    try box.putAll()
    #expect(netmem.referenceCount == 3)
    let worker = Worker()
    defer { worker.stop() }
    func flush() {
      if onOwner { box.returner?.flush() } else { worker.run { box.returner?.flush() } }
    }
    flush()
    #expect(netmem.referenceCount == 1)
    #expect(pool.inFlight.held == 1)
    // Two handles of one buffer, and nobody else has one.
    box.held.append(Held(netmem.share()))
    box.held.append(Held(netmem))
    try box.putAll()
    flush()
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.returnCount == 2)
  }

  @Test("what comes back after close goes to the provider", arguments: [false, true])
  func closed(onOwner: Bool) throws {
    let provider = try ListProvider(iovCount: 64)
    let drained = DrainFlag()
    let box = Box()
    box.returner = NetmemReturner()
    do {
      let pool = try PagePool(provider: provider)
      for _ in 0..<5 { box.held.append(Held(try pool.take())) }
      try box.putAll()
      pool.close { drained.set() }
    }
    #expect(!drained.isSet)
    let worker = Worker()
    if onOwner { box.returner?.flush() } else { worker.run { box.returner?.flush() } }
    worker.stop()
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
    // The pool is gone: nothing may look at it any more.
    box.returner = nil
  }
}
