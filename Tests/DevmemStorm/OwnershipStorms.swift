// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

let ownershipStorms: [Storm] = [
  Storm(name: "a pool changes hands while another thread closes it", rounds: 3000) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let remote = Carrier<PagePool.Remote>(nil)
    let drained = Atomic<Int>(0)
    try beside(rounds) { round in
      guard let pool = remote.take() else { return }
      linger(round % 301)
      pool.close { drained.add(1, ordering: .relaxed) }
    } _: { _, go in
      var pool = try PagePool(
        provider: provider, configuration: .init(cacheCapacity: 4, refillCount: 4))
      remote.put(pool.remote)
      _ = pool.allocate()
      go()
      repeat { pool = pool.relinquish().claim() } while pool.allocate() != nil
      // A pool that was closed meanwhile gives out nothing for ever.
      for _ in 0..<10 where pool.allocate() != nil { drained.add(1, ordering: .relaxed) }
    }
    let count = drained.load(ordering: .relaxed)
    return count == rounds ? left(provider, 64) : "\(count) of \(rounds) pools ended"
  },

  Storm(
    name: "buffers of a pool between two owners die on threads that never had a pool", rounds: 1000
  ) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let turns = Turns()
    let ends = [Turns(), Turns()]
    let cells = (0..<64).map { _ in Carrier<Netmem>(nil) }
    let others = Background(
      (0..<2).map { number in
        {
          for round in 1...rounds {
            turns.await(round)
            for cell in cells.dropFirst(number * 32).prefix(32) { cell.drop() }
            ends[number].end(round)
          }
        }
      })
    var fault: String?
    var pool = try PagePool(
      provider: provider, configuration: .init(cacheCapacity: 64, refillCount: 64))
    for round in 1...rounds {
      for cell in cells { if let netmem = pool.allocate() { cell.put(netmem) } }
      let right = pool.relinquish()
      turns.begin(round)
      for end in ends { end.awaitEnd(round) }
      pool = right.claim()
      if pool.inFlight.held != 0 || pool.inFlight.total != 64 {
        fault = fault ?? "\(pool.inFlight)"
      }
    }
    others.join()
    pool.close {}
    return fault ?? left(provider, 64)
  },

  Storm(name: "threads claim the pool of one that has ended, and it closes", rounds: 300) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    for round in 0..<rounds {
      let box = Carrier<PagePool>(nil)
      let remote = Carrier<PagePool.Remote>(nil)
      let claimed = Atomic<Int>(0)
      let finished = Atomic<Int>(0)
      let owner = Worker()
      owner.run {
        guard let pool = try? PagePool(provider: provider) else { return }
        _ = pool.allocate()
        remote.put(pool.remote)
        box.put(pool)
      }
      owner.stop()
      guard let pool = remote.take() else { return "no pool" }
      let claimers = Background(
        (0..<3).map { number in
          {
            while claimed.load(ordering: .relaxed) == 0 {
              do {
                let mine = try pool.claimFromEndedThread()
                claimed.add(1, ordering: .relaxed)
                while mine.allocateBatch(3).count > 0, round % 2 == 0, number > 0 {
                  if mine.statistics.allocationCount > 3000 { break }
                }
              } catch PagePoolError.closed {
                break
              } catch {}
            }
            // Else a thread that has claimed it may have ended for another one.
            finished.add(1, ordering: .relaxed)
            while finished.load(ordering: .relaxed) < 3 { cstorm_yield() }
          }
        })
      if round % 3 == 0 { pool.close {} }
      claimers.join()
      if claimed.load(ordering: .relaxed) > 1 { return "two threads claimed one pool" }
      box.drop()
      if let fault = left(provider, 64) { return fault }
    }
    return nil
  },

  Storm(name: "a forked child allocates nothing, claims nothing and returns nothing", rounds: 20) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    for _ in 0..<rounds {
      let pool = try PagePool(provider: provider)
      let shared = try SharedPagePool(provider: provider)
      let between = try PagePool(provider: provider)
      let child = Child(pool.allocate()!, pool.remote)
      child.shared = shared
      child.sharedCell.put(shared.allocate()!)
      child.ownership.put(between.relinquish())
      let status = child.run { child in
        let before = child.remote.inFlight
        child.cell.drop()
        child.sharedCell.drop()
        child.remote.close {}
        child.shared?.close {}
        if child.remote.inFlight != before { return 1 }
        do {
          _ = try child.remote.claimFromEndedThread()
          return 2
        } catch PagePoolError.forked {} catch { return 3 }
        let claimed = child.ownership.take()?.claim()
        return claimed?.isOwnedByCurrentThread == false ? 0 : 4
      }
      if status != 0 { return "the child ended with \(status)" }
      if pool.inFlight.held != 1 { return "the parent's count is \(pool.inFlight)" }
      if shared.inFlight.held != 1 { return "the parent's shared count is \(shared.inFlight)" }
      child.cell.drop()
      child.sharedCell.drop()
      child.ownership.drop()
    }
    return left(provider, 256)
  },

  Storm(name: "a child is forked while the owner is in the middle of a return", rounds: 200) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let pool = try PagePool(provider: provider)
    let shared = try SharedPagePool(provider: provider)
    let child = Child(pool.allocate()!, pool.remote)
    child.shared = shared
    child.sharedCell.put(shared.allocate()!)
    let token = shared.allocate()!.detach()
    let status = Atomic<Int>(0)
    let isDone = Atomic<Bool>(false)
    let other = Background([
      {
        for _ in 0..<rounds {
          let result = child.run { child in
            // Whoever waits here for a thread that is not in this process waits for ever.
            cstorm_give_up_after(20)
            _ = child.remote.inFlight
            _ = child.remote.statistics
            child.cell.drop()
            child.sharedCell.drop()
            // Also while the parent's other thread had the pool's lock.
            do {
              _ = try child.shared?.reclaim(token)
              return 5
            } catch {}
            child.remote.close {}
            child.shared?.close {}
            return 0
          }
          if result != 0 { status.store(Int(result), ordering: .relaxed) }
        }
        isDone.store(true, ordering: .releasing)
      }
    ])
    cstorm_register()
    while !isDone.load(ordering: .acquiring) {
      _ = pool.allocate()
      _ = shared.allocate()
      _ = shared.inFlight
    }
    cstorm_unregister()
    other.join()
    child.cell.drop()
    child.sharedCell.drop()
    child.shared = nil
    _ = try shared.reclaim(token)
    let found = status.load(ordering: .relaxed)
    return found == 0 ? nil : "a child ended with \(found)"
  },

  Storm(name: "a thread in its last destructors can own no pool, and returns to any", rounds: 200) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    for _ in 0..<rounds {
      let pool = try PagePool(provider: provider)
      let shared = try SharedPagePool(provider: provider)
      let last = Last(pool.allocate()!, shared)
      let worker = Worker()
      worker.run {
        last.cell.put(last.shared.allocate()!)
        _ = try? PagePool(provider: provider)
        unsafe cstorm_at_thread_end(
          { context in
            let last = unsafe Unmanaged<Last>.fromOpaque(context!).takeRetainedValue()
            last.atEnd()
          }, Unmanaged.passRetained(last).toOpaque())
      }
      worker.stop()
      while !last.isOver.isSet { cstorm_yield() }
      if let fault = last.fault.take() { return fault }
      if pool.inFlight.held != 0 { return "\(pool.inFlight)" }
      if shared.inFlight.held != 0 { return "shared: \(shared.inFlight)" }
    }
    return left(provider, 256)
  },
]

/// What a forked child has in hand.
final class Child: @unchecked Sendable {
  let cell: Carrier<Netmem>
  let sharedCell = Carrier<Netmem>(nil)
  let ownership = Carrier<PagePool.Ownership>(nil)
  let remote: PagePool.Remote
  var shared: SharedPagePool?
  private var body: (Child) -> Int32 = { _ in 0 }

  init(_ netmem: consuming Netmem, _ remote: PagePool.Remote) {
    cell = Carrier(netmem)
    self.remote = remote
  }

  /// Runs `body` in a child. Returns what it returned, or how else it ended.
  func run(_ body: @escaping (Child) -> Int32) -> Int32 {
    self.body = body
    return unsafe cstorm_in_child(
      { context in
        let child = unsafe Unmanaged<Child>.fromOpaque(context!).takeUnretainedValue()
        return child.body(child)
      }, Unmanaged.passUnretained(self).toOpaque())
  }
}

/// What a thread does in a destructor of its own, after all others.
final class Last: Sendable {
  let held: Carrier<Netmem>
  let cell = Carrier<Netmem>(nil)
  let shared: SharedPagePool
  let isOver = DrainFlag()
  let fault = Carrier<String>(nil)

  init(_ netmem: consuming Netmem, _ shared: SharedPagePool) {
    held = Carrier(netmem)
    self.shared = shared
  }

  func atEnd() {
    held.drop()
    cell.drop()
    if shared.allocate() == nil { fault.put("a shared pool gives nothing to a thread that ends") }
    do {
      _ = try PagePool(provider: HostMemoryProvider(byteCount: 4096))
      fault.put("a thread that ends owns a pool")
    } catch {}
    isOver.set()
  }
}
