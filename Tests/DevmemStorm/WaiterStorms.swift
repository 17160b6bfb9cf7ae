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
  private var pool: PagePool
  /// Whether a wait has been begun.
  private(set) var isWaiting = false

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

  /// Another pool, with its only buffer in the cell.
  func begin(
    _ provider: HostMemoryProvider, into cell: Carrier<Netmem>
  ) throws -> PagePool.Remote {
    pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 2, refillCount: 1))
    isWaiting = false
    cell.put(pool.allocate()!)
    return pool.remote
  }

  func waitsOnce() async -> WaitEnd {
    cstorm_register()
    defer { cstorm_unregister() }
    isWaiting = true
    do {
      _ = try await pool.allocate(waiting: .seconds(20))
      return .buffer
    } catch is CancellationError {
      return .cancelled
    } catch PagePoolError.closed {
      return .closed
    } catch {
      return .lost
    }
  }

  func handsOver() -> PagePool.Ownership { pool.relinquish() }

  func ends(byDropping isDropped: Bool) throws {
    if !isDropped { pool.close {} }
    pool = try PagePool(provider: HostMemoryProvider(byteCount: 4096))
  }

  /// Takes buffers off the queue, which has them at any time, one a turn; counts how often there
  /// was none.
  func takes(_ rounds: Int, _ slots: [Slot], kept: Int) -> Int {
    var held: [Held] = []
    while held.count < kept, let netmem = pool.allocate() { held.append(Held(netmem)) }
    var none = 0
    for _ in 0..<rounds {
      for slot in slots where !slot.isFull.load(ordering: .acquiring) {
        // Only this thread takes: what is there before the call is there in it, but for the two
        // slots that the two others may not have filled.
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
    let stop = DrainFlag()
    let other = Background(every: 20, for: 50, [{ while !stop.isSet { cell.drop() } }])
    let lost = await waiter.waits(rounds, into: cell)
    stop.set()
    other.join()
    cell.drop()
    return lost == 0 ? nil : "\(lost) wake-ups were lost"
  },

  Storm(name: "a returning thread is stopped between taking a slot and filling it", rounds: 30000) {
    rounds in
    let count = 129
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let waiter = try await Waiter(provider, .init(cacheCapacity: 2, refillCount: 1))
    let slots = (0..<count).map { _ in Slot() }
    let stop = DrainFlag()
    @Sendable func serve(_ mine: ArraySlice<Slot>) {
      while !stop.isSet {
        for slot in mine where slot.isFull.load(ordering: .acquiring) {
          slot.cell.drop()
          slot.isFull.store(false, ordering: .releasing)
        }
      }
    }
    // One that is stopped, and one that is not.
    let stopped = Background(every: 3000, for: 2500, [{ serve(slots.suffix(1)) }])
    let worker = Worker()
    worker.start { serve(slots.prefix(count - 1)) }
    let none = await waiter.takes(rounds, slots, kept: 256 - count)
    stop.set()
    worker.run {}
    worker.stop()
    stopped.join()
    for slot in slots { slot.cell.drop() }
    return none == 0 ? nil : "\(none) times nil with more than 8 buffers in the queue"
  },

  Storm(name: "a wait ends by a return, a cancellation or a close, all at once", rounds: 2000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 4096)
    let waiter = try await Waiter(provider, .init(cacheCapacity: 2, refillCount: 1))
    let turns = Turns()
    let end = Turns()
    let cell = Carrier<Netmem>(nil)
    let task = Mutex<Task<WaitEnd, Never>?>(nil)
    let other = Background([
      {
        for round in 1...rounds {
          turns.await(round)
          if round % 3 == 0 { task.withLock { $0 }?.cancel() }
          cell.drop()
          if round % 3 == 1 { task.withLock { $0 }?.cancel() }
          end.end(round)
        }
      }
    ])
    var fault: String?
    for round in 1...rounds {
      let remote = try await waiter.begin(provider, into: cell)
      let waiting = Task { await waiter.waitsOnce() }
      task.withLock { $0 = waiting }
      if round & 1 == 0 { await Task.yield() }
      turns.begin(round)
      if round % 5 == 0 {
        linger(round % 127)
        remote.close {}
      }
      if await waiting.value == .lost { fault = fault ?? "round \(round): \(remote.inFlight)" }
      end.awaitEnd(round)
      try await waiter.ends(byDropping: round % 2 == 0)
      if let left = left(provider, 1) { fault = fault ?? "round \(round): \(left)" }
    }
    other.join()
    return fault
  },

  Storm(name: "a task waits while the right to allocate ends unclaimed elsewhere", rounds: 500) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 4096)
    let waiter = try await Waiter(provider, .init())
    let cell = Carrier<Netmem>(nil)
    for round in 1...rounds {
      let remote = try await waiter.begin(provider, into: cell)
      let waiting = Task { await waiter.waitsOnce() }
      while await !waiter.isWaiting, !waiting.isCancelled { await Task.yield() }
      let right = await waiter.handsOver()
      let worker = Worker()
      let box = Carrier(right)
      worker.start { box.drop() }
      if round & 1 == 0 { cell.drop() }
      let end = await waiting.value
      worker.run {}
      worker.stop()
      if end == .lost { return "round \(round): \(remote.inFlight)" }
      cell.drop()
      if let fault = left(provider, 1) { return fault }
    }
    return nil
  },
]

/// How a wait came to its end.
enum WaitEnd: Sendable {
  case buffer, cancelled, closed, lost
}
