// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

let lifeCycleStorms: [Storm] = [
  Storm(name: "the last return on one thread against dropping the pool on another", rounds: 4000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let cell = Carrier<Netmem>(nil)
    try beside(rounds) { _ in
      cell.drop()
    } _: { round, go in
      let pool = try PagePool(provider: provider)
      cell.put(pool.allocate()!)
      if round % 3 == 0 { pool.close {} }
      go()
      linger(round % 97)
    }
    return left(provider, 64)
  },

  Storm(name: "a batch that ends elsewhere against closing and dropping the pool", rounds: 4000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let cell = Carrier<NetmemBatch>(nil)
    try beside(rounds) { _ in
      cell.drop()
    } _: { round, go in
      let pool = try PagePool(
        provider: provider,
        configuration: .init(cacheCapacity: 32, refillCount: 32, ringCapacity: 0))
      cell.put(pool.allocateBatch(32))
      go()
      if round & 1 == 0 { while pool.inFlight.queued == 0 {} }
      pool.close {}
    }
    return left(provider, 256)
  },

  Storm(name: "closing on one thread while the owner allocates and returns", rounds: 3000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let remote = Carrier<PagePool.Remote>(nil)
    let drained = Atomic<Int>(0)
    try beside(rounds) { round in
      guard let pool = remote.take() else { return }
      linger(round % 301)
      pool.close { drained.add(1, ordering: .relaxed) }
    } _: { _, go in
      let pool = try PagePool(
        provider: provider,
        configuration: .init(cacheCapacity: 4, refillCount: 3, ringCapacity: 2))
      remote.put(pool.remote)
      go()
      try useUntilClosed(pool)
    }
    let count = drained.load(ordering: .relaxed)
    return count == rounds ? left(provider, 256) : "\(rounds - count) pools never ended"
  },

  Storm(name: "a pool dropped elsewhere while its owner gives buffers back", rounds: 500) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    for _ in 0..<rounds {
      let calling = CallingProvider(provider)
      let box: Carrier<PagePool>
      var held: [Held] = []
      do {
        let pool = try PagePool(
          provider: calling, configuration: .init(cacheCapacity: 4, refillCount: 4, ringCapacity: 0)
        )
        for _ in 0..<20 { held.append(Held(pool.allocate()!)) }
        box = Carrier(pool)
      }
      let worker = Worker()
      calling.callOnce(in: .release) { worker.run { box.drop() } }
      held.removeAll()
      worker.stop()
      if let fault = left(provider, 256) { return fault }
    }
    return nil
  },

  Storm(
    name: "the last buffer dies away from the owner after the pool was dropped elsewhere",
    rounds: 500
  ) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    for round in 0..<rounds {
      let cell = Carrier<Netmem>(nil)
      let box = Carrier<PagePool>(nil)
      let owner = Worker()
      owner.run {
        guard let pool = try? PagePool(provider: provider) else { return }
        cell.put(pool.allocate()!)
        box.put(pool)
      }
      if round & 1 == 0 { owner.stop() }
      box.drop()
      cell.drop()
      if round & 1 == 1 { owner.stop() }
      if let fault = left(provider, 64) { return fault }
    }
    return nil
  },

  Storm(name: "the last reference goes in a watermark's callback", rounds: 500) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    for _ in 0..<rounds {
      let late = Carrier<PagePool>(nil)
      do {
        let marks = PagePool.Watermarks(low: 0, high: 1) { if case .low = $0 { late.drop() } }
        let pool = try PagePool(provider: provider, configuration: .init(watermarks: marks))
        let netmem = pool.allocate()
        late.put(pool)
        _ = consume pool
        _ = consume netmem
      }
      late.drop()
      if let fault = left(provider, 64) { return fault }
    }
    return nil
  },

  Storm(name: "a pool is closed in a watermark's callback while a batch is filled", rounds: 500) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    for _ in 0..<rounds {
      let late = Carrier<PagePool.Remote>(nil)
      let drained = DrainFlag()
      let marks = PagePool.Watermarks(low: 0, high: 1) {
        if case .high = $0 { late.take()?.close { drained.set() } }
      }
      let pool = try PagePool(provider: provider, configuration: .init(watermarks: marks))
      late.put(pool.remote)
      _ = pool.allocateBatch(40)
      if !drained.isSet { return "every handle is gone and the closed pool has not ended" }
      if let fault = left(provider, 256) { return fault }
    }
    return nil
  },

  Storm(name: "a share that ends elsewhere while a batch is looked at", rounds: 500) { rounds in
    let pool = try PagePool(provider: HostMemoryProvider(byteCount: 64 * 4096))
    let cells = (0..<64).map { _ in Carrier<Netmem>(nil) }
    beside(rounds) { _ in
      for cell in cells {
        let netmem = cell.take()
        switch netmem {
        case .some(let netmem): _ = try? netmem.withBytes { unsafe $0.unsafeLoad(as: Int.self) }
        case .none: break
        }
      }
    } _: { round, go in
      var batch = pool.allocateBatch(32)
      var position = 0
      batch.forEach { netmem in
        cells[position].put(netmem.share())
        position += 1
      }
      go()
      batch.forEach { _ in }
      for cell in cells { cell.drop() }
      batch.forEachMutable { netmem in
        try? netmem.withMutableBytes { $0.storeBytes(of: round, as: Int.self) }
      }
    }
    return pool.inFlight.held == 0 ? nil : "\(pool.inFlight)"
  },
]

/// Allocates and returns in every way until there is no more, because the pool is closed.
func useUntilClosed(_ pool: borrowing PagePool) throws {
  for step in 1... {
    switch step % 7 {
    case 0: _ = pool.allocateBatch(1 + step % 5)
    // Of the larger ones each is the first or the last of its IOV.
    case 1: _ = pool.allocateFragment(byteCount: step % 2 == 0 ? 100 : 2000)
    case 2:
      var batch = NetmemBatch()
      for _ in 0..<9 { if let netmem = pool.allocate() { batch.append(netmem) } }
      while let netmem = batch.popLast() { _ = netmem }
    case 3: if let netmem = pool.allocate() { _ = try pool.reclaim(netmem.detach()) }
    default: if pool.allocate() == nil, pool.statistics.closed > 0 { return }
    }
  }
}
