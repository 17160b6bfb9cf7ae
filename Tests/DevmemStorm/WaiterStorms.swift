// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// Owns a pool on a thread of its own, and waits for buffers there.
actor Waiter: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  private let pool: PagePool

  init(_ provider: HostMemoryProvider, _ configuration: PagePool.Configuration) async throws {
    executor = try SingleThreadExecutor(name: "waiter")
    pool = try await executor.run { try PagePool(provider: provider, configuration: configuration) }
  }

  func waits(_ rounds: Int, into cell: Carrier<Netmem>) async -> Int {
    cstorm_register()
    defer { cstorm_unregister() }
    var lost = 0
    for _ in 0..<rounds {
      do { cell.put(try await pool.allocate(waiting: .seconds(20))) } catch { lost += 1 }
    }
    return lost
  }

  /// Takes buffers off the queue, which has them at any time, one a turn; counts how often there was none.
  func takes(_ rounds: Int, _ slots: [Slot], kept: Int) -> Int {
    var held: [Held] = []
    while held.count < kept, let netmem = pool.allocate() { held.append(Held(netmem)) }
    var none = 0
    for _ in 0..<rounds {
      for slot in slots where !slot.isFull.load(ordering: .acquiring) {
        // Only this thread takes: what is there before the call is there in it, but for the two slots that the
        // two others may not have filled.
        let queued = pool.inFlight.queued
        if let netmem = pool.allocate() {
          slot.cell.put(netmem)
          slot.isFull.store(true, ordering: .releasing)
        } else if queued > 8 {
          none += 1
        }
      }
    }
    return none
  }
}

final class Slot: Sendable {
  let isFull = Atomic<Bool>(false)
  let cell = Carrier<Netmem>(nil)
}

let waiterStorms: [Storm] = [
  Storm(name: "a task waits while another thread returns the only buffer", rounds: 3000) { rounds in
    let provider = try HostMemoryProvider(byteCount: 4096)
    let waiter = try await Waiter(provider, .init(cacheCapacity: 2, refillCount: 1))
    let cell = Carrier<Netmem>(nil)
    let stop = Carrier<Bool>(nil)
    let worker = Worker()
    cstorm_start(20, 50)
    worker.start {
      cstorm_register()
      while stop.take() == nil { cell.drop() }
      cstorm_unregister()
    }
    let lost = await waiter.waits(rounds, into: cell)
    stop.put(true)
    worker.run {}
    worker.stop()
    cstorm_stop()
    cell.drop()
    return lost == 0 ? nil : "\(lost) wake-ups were lost"
  },

  Storm(name: "a returning thread is stopped between taking a slot and filling it", rounds: 30000) {
    rounds in
    let count = 129
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let waiter = try await Waiter(provider, .init(cacheCapacity: 2, refillCount: 1))
    let slots = (0..<count).map { _ in Slot() }
    let stop = Atomic<Bool>(false)
    let workers = [Worker(), Worker()]
    cstorm_start(3000, 2500)
    for (number, worker) in workers.enumerated() {
      let mine = number == 0 ? slots.suffix(1) : slots.prefix(count - 1)
      worker.start {
        if number == 0 { cstorm_register() }
        while !stop.load(ordering: .relaxed) {
          for slot in mine where slot.isFull.load(ordering: .acquiring) {
            slot.cell.drop()
            slot.isFull.store(false, ordering: .releasing)
          }
        }
        if number == 0 { cstorm_unregister() }
      }
    }
    let none = await waiter.takes(rounds, slots, kept: 256 - count)
    stop.store(true, ordering: .relaxed)
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    cstorm_stop()
    for slot in slots { slot.cell.drop() }
    return none == 0 ? nil : "\(none) times nil with more than 8 buffers in the queue"
  },
]
