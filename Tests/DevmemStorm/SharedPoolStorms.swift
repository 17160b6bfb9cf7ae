// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// Storms over a pool that every thread has a part of.
let sharedPoolStorms: [Storm] = [
  Storm(name: "threads are stopped anywhere while others call back their caches", rounds: 20_000) {
    rounds in
    let iovCount = 24
    let provider = try HostMemoryProvider(byteCount: iovCount * 4096)
    let pool = try SharedPagePool(
      provider: provider, configuration: .init(cacheCapacity: 8, refillCount: 4))
    let holders = (0..<iovCount).map { _ in Flag() }
    let doubles = Atomic<Int>(0)
    let threads = Background(
      every: 20, for: 60,
      (0..<3).map { number in
        {
          var random = SeededGenerator(seed: UInt64(number))
          for _ in 0..<rounds {
            let count = 1 + Int(random.next() % 7)
            var batch = random.next() & 1 == 0 ? pool.allocateBatch(count) : NetmemBatch()
            while batch.count < count, let netmem = pool.allocate() { batch.append(netmem) }
            batch.forEach { netmem in
              if !holders[Int(netmem.offset >> 12)].take() { doubles.add(1, ordering: .relaxed) }
            }
            batch.forEach { netmem in
              if !holders[Int(netmem.offset >> 12)].give() { doubles.add(1, ordering: .relaxed) }
            }
          }
        }
      })
    threads.join()
    let found = doubles.load(ordering: .relaxed)
    if found > 0 { return "\(found) times a buffer had two holders" }
    let flight = pool.inFlight
    if flight.held != 0 { return "\(flight)" }
    pool.close {}
    return left(provider, iovCount)
  },

  Storm(name: "threads end while others close the pool and call back", rounds: 400) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let drained = Atomic<Int>(0)
    for round in 0..<rounds {
      let cell = Carrier<SharedPagePool>(nil)
      do {
        let pool = try SharedPagePool(
          provider: provider, configuration: .init(cacheCapacity: 16, refillCount: 8))
        cell.put(pool)
        let threads = Background(
          every: 10, for: 60,
          (0..<4).map { number in
            {
              for step in 0..<20 + 7 * number {
                let worker = Worker()
                if step == 10, number == 0, round & 1 == 0 {
                  pool.close { drained.add(1, ordering: .relaxed) }
                }
                if step % 10 == number {
                  // A thread that has its part for one turn.
                  worker.start {
                    cstorm_register()
                    _ = pool.allocateBatch(9)
                    cstorm_unregister()
                  }
                }
                worker.stop()
                _ = pool.allocate()
              }
            }
          })
        if round & 1 == 1 { cell.drop() }
        threads.join()
        if round & 1 == 1 { pool.close { drained.add(1, ordering: .relaxed) } }
      }
      cell.drop()
      // The threads that were made on the way may not have ended yet.
      while drained.load(ordering: .acquiring) <= round { cstorm_yield() }
      if drained.load(ordering: .acquiring) > round + 1 { return "a pool ended twice" }
      if let fault = left(provider, 64) { return fault }
    }
    return nil
  },

  Storm(name: "a task waits while others return into their own caches", rounds: 3000) { rounds in
    let provider = try HostMemoryProvider(byteCount: 3 * 4096)
    let pool = try SharedPagePool(
      provider: provider, configuration: .init(cacheCapacity: 8, refillCount: 4))
    let stop = DrainFlag()
    let cells = (0..<3).map { _ in Carrier<Netmem>(nil) }
    let threads = Background(
      every: 20, for: 50,
      (0..<2).map { number in
        {
          while !stop.isSet {
            for cell in cells { cell.drop() }
            if number == 0 { _ = pool.allocate() }
          }
        }
      })
    var lost = 0
    for round in 0..<rounds {
      do { cells[round % 3].put(try await pool.allocate(waiting: .seconds(20))) } catch {
        lost += 1
      }
    }
    stop.set()
    threads.join()
    for cell in cells { cell.drop() }
    if pool.inFlight.held != 0 { return "\(pool.inFlight)" }
    return lost == 0 ? nil : "\(lost) wake-ups were lost"
  },

  Storm(name: "a task begins to wait while another thread gets what there is", rounds: 3000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 4 * 4096)
    let turns = Turns()
    let end = Turns()
    let pools = Carrier<SharedPagePool>(nil)
    let held = Carrier<Netmem>(nil)
    let thread = Background(
      every: 10, for: 60,
      [
        {
          for round in 1...rounds {
            turns.await(round)
            if let pool = pools.take(), let netmem = pool.allocate() { held.put(netmem) }
            end.end(round)
          }
        }
      ])
    var lost = 0
    for round in 1...rounds {
      let pool = try SharedPagePool(
        provider: provider, configuration: .init(cacheCapacity: 4, refillCount: 4))
      pools.put(pool)
      turns.begin(round)
      linger(round % 300)
      // The other one keeps one of the four: this one gets another, at once or handed over.
      do { _ = try await pool.allocate(waiting: .seconds(2)) } catch { lost += 1 }
      end.awaitEnd(round)
      held.drop()
      pool.close {}
      if let fault = left(provider, 4) { return fault }
    }
    thread.join()
    return lost == 0 ? nil : "\(lost) wake-ups were lost"
  },
]

/// Whether somebody has it.
final class Flag: Sendable {
  private let isHeld = Atomic<Bool>(false)
  /// False if somebody had it.
  func take() -> Bool { !isHeld.exchange(true, ordering: .acquiringAndReleasing) }
  /// False if nobody had it.
  func give() -> Bool { isHeld.exchange(false, ordering: .acquiringAndReleasing) }
}
