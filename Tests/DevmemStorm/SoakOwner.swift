// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// One thread's life in a soak: it has one pool after the other.
struct SoakOwner: ~Copyable {
  let soak: Soak
  private var random: SeededGenerator
  private var returner = NetmemReturner(capacity: 16)
  private var tally = Tally()

  init(_ soak: Soak, seed: UInt64) {
    self.soak = soak
    random = SeededGenerator(seed: seed)
  }

  /// Until the thread ends without handing its pool over, or all is over.
  consuming func live() {
    cstorm_register()
    while !soak.stop.isSet {
      guard let pool = begin() else { continue }
      let count = 1000 + random.next() % 30000
      for _ in 0..<count { turn(pool) }
      if end(pool) { break }
    }
    returner.flush()
    soak.add(tally)
    cstorm_unregister()
  }

  /// A new pool, one that somebody hands over, or one whose owner has ended.
  private mutating func begin() -> PagePool? {
    let r = random.next()
    switch r & 7 {
    case 0, 1:
      guard let right = soak.rights[Int(r >> 8) & 7].take() else { return nil }
      tally.note(.claim)
      return right.claim()
    case 2:
      guard let orphan = soak.orphans[Int(r >> 8) & 7].take() else { return nil }
      do {
        let pool = try orphan.remote.claimFromEndedThread()
        tally.note(.claimFromEnded)
        return pool
      } catch PagePoolError.ownedByAnotherThread {
        // That thread is not quite over.
        soak.orphans[Int(r >> 8) & 7].put(orphan)
      } catch {}
      return nil
    default:
      tally.note(.open)
      return try? makePool(soak, r, random.next())
    }
  }

  /// One turn with the pool.
  private mutating func turn(_ pool: PagePool) {
    let r = random.next()
    soakTurn(soak, pool, r, &tally)
    if r >> 60 == 0 { soak.turn(&random, &returner, &tally) }
  }

  /// What becomes of the pool. True if the thread is to end.
  private mutating func end(_ pool: consuming PagePool) -> Bool {
    let r = random.next()
    // When all is over somebody else looks whether its counts are right.
    switch soak.stop.isSet ? 3 : r & 7 {
    case 0:
      tally.note(.close)
      pool.close {}
      pool.remote.close {}
    case 1, 2:
      // Another thread closes, while this one goes on.
      soak.remotes[Int(r >> 8) & 15].put(pool.remote)
      let late = r >> 16 % 2000
      for _ in 0..<late { turn(pool) }
    case 3, 4:
      tally.note(.relinquish)
      let right = pool.relinquish()
      if let old = soak.rights[Int(r >> 8) & 7].exchange(right) {
        tally.note(.dropUnclaimed)
        _ = old
      }
    case 5:
      tally.note(.endThread)
      soak.orphans[Int(r >> 8) & 7].put(pool)
      return true
    default: tally.note(.drop)
    }
    return false
  }
}

/// A pool with everything that a pool can have, on the calling thread.
func makePool(_ soak: Soak, _ r: UInt64, _ s: UInt64) throws -> PagePool {
  let late = Carrier<PagePool>(nil)
  let remote = Carrier<PagePool.Remote>(nil)
  let low = Int(s >> 24) % 20
  let capacity = 2 + Int(r >> 16) % 200
  let provider = soak.provider(s >> 40)
  let pool = try PagePool(
    provider: provider,
    configuration: .init(
      cacheCapacity: capacity, refillCount: 1 + Int(r >> 32) % min(64, capacity),
      ringCapacity: Int(s & 0xFFFF) % 300, reserveCount: Int(s >> 16 & 0xFF) % 3,
      tunesRefill: s & 1 == 0,
      watermarks: s & 2 == 0
        ? nil : .init(low: low, high: low + 100) { _ in soak.callBack(late, remote) }))
  if s & 12 == 0 {
    late.put(pool)
    soak.lates.withLock { $0.append(late) }
  }
  if s & 48 == 0 { remote.put(pool.remote) }
  if s & 192 == 0 {
    provider.callOnce(in: s & 256 == 0 ? .refill : .release) { soak.callBack(late, remote) }
  }
  return pool
}

/// One random operation of an owner's.
func soakTurn(_ soak: Soak, _ pool: PagePool, _ r: UInt64, _ tally: inout Tally) {
  switch r & 15 {
  case 0...4:
    guard let netmem = pool.allocate(r & 64 == 0 ? .critical : .normal) else {
      return tally.note(.none)
    }
    tally.note(r & 64 == 0 ? .allocateCritical : .allocate)
    soak.put(netmem, r, &tally)
  case 5:
    tally.note(.batch)
    soak.put(pool.allocateBatch(1 + Int(r >> 16) % 64), r, &tally)
  case 6:
    guard let fragment = pool.allocateFragment(byteCount: 1 + Int(r >> 16) % 4096) else {
      return tally.note(.none)
    }
    tally.note(.fragment)
    soak.map.take(soak.map.place(of: fragment))
    if let old = soak.fragments[Int(r >> 40) & 63].exchange(fragment) { soak.giveUp(old) }
  case 7:
    guard let netmem = pool.allocate() else { return tally.note(.none) }
    let remote = pool.remote
    soak.detach(netmem, r, &tally) { _ = try remote.reclaim($0) }
  case 8:
    tally.note(.look)
    let flight = pool.inFlight
    if flight.held < 0 || flight.cached < 0 || flight.queued < 0 || flight.reserved < 0 {
      soak.map.fault()
    }
  case 9:
    if let netmem = soak.cells[Int(r >> 8) & 511].take() { soak.giveUp(netmem, r >> 20, &tally) }
  default:
    // At once.
    tally.note(pool.allocate() == nil ? .none : .allocate)
  }
}

/// An owner that waits for buffers, several tasks at a time.
actor SoakWaiter: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  private let soak: Soak
  private var random: SeededGenerator
  private var tally = Tally()
  private var pool: PagePool?

  init(_ soak: Soak, seed: UInt64) throws {
    executor = try SingleThreadExecutor(name: "soak")
    self.soak = soak
    random = SeededGenerator(seed: seed)
  }

  /// One pool's time.
  func live() async throws {
    cstorm_register()
    defer { cstorm_unregister() }
    let r = random.next()
    pool = try makePool(soak, r, random.next())
    tally.note(.open)
    for _ in 0..<200 where !soak.stop.isSet {
      guard let open = pool else { break }
      for _ in 0..<100 { soakTurn(soak, open, random.next(), &tally) }
      let waits = (0..<3).map { _ in
        let r = random.next()
        return Task { await self.wait(r) }
      }
      for wait in waits {
        await Task.yield()
        if random.next() & 3 == 0 { wait.cancel() }
      }
      for wait in waits { await wait.value }
    }
    if soak.stop.isSet || r & 1 == 0, let pool {
      if let old = soak.rights[Int(r >> 8) & 7].exchange(pool.relinquish()) { _ = old }
      tally.note(.relinquish)
    }
    pool = nil
    soak.add(tally)
    tally = Tally()
  }

  private func wait(_ r: UInt64) async {
    guard let pool else { return }
    do {
      let limit: Duration = r & 7 == 0 ? .milliseconds(20) : .microseconds(Int64(r >> 8) % 1000)
      let netmem = try await pool.allocate(waiting: limit)
      tally.note(.wait)
      soak.put(netmem, r, &tally)
    } catch is CancellationError {
      tally.note(.waitCancelled)
    } catch {
      tally.note(error as? PagePoolError == .closed ? .waitClosed : .waitTimedOut)
    }
  }
}
