// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// A provider that calls back while it is given buffers.
final class CallingProvider: MemoryProvider {
  let inner: HostMemoryProvider
  private let hook = Mutex<(@Sendable () -> Void)?>(nil)
  init(_ inner: HostMemoryProvider) { self.inner = inner }
  func callOnce(_ body: @escaping @Sendable () -> Void) { hook.withLock { $0 = body } }
  var name: String { "calling" }
  func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) throws -> [NetIOVSlab] { inner.attach(to: pool, access) }
  func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { inner.refill(&span, access) }
  func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess) {
    let body = hook.withLock { hook in
      defer { hook = nil }
      return hook
    }
    body?()
    inner.release(iovs, access)
  }
  func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    inner.detach(from: pool, access)
  }
}

let lifeCycleStorms: [Storm] = [
  Storm(name: "the last return on one thread against dropping the pool on another", rounds: 4000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let turns = Turns()
    let cell = Carrier<Netmem>(nil)
    try beside {
      for round in 1...rounds {
        turns.await(round)
        cell.drop()
        turns.end(round)
      }
    } _: {
      for round in 1...rounds {
        do {
          let pool = try PagePool(provider: provider)
          cell.put(pool.allocate()!)
          if round % 3 == 0 { pool.close {} }
          turns.begin(round)
          for _ in 0..<round % 97 { _ = turns.done.load(ordering: .relaxed) }
        }
        turns.awaitEnd(round)
      }
    }
    return left(provider, 64)
  },

  Storm(name: "a batch that ends elsewhere against closing and dropping the pool", rounds: 4000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let turns = Turns()
    let cell = Carrier<NetmemBatch>(nil)
    try beside {
      for round in 1...rounds {
        turns.await(round)
        cell.drop()
        turns.end(round)
      }
    } _: {
      for round in 1...rounds {
        do {
          let pool = try PagePool(
            provider: provider,
            configuration: .init(cacheCapacity: 32, refillCount: 32, ringCapacity: 0))
          cell.put(pool.allocateBatch(32))
          turns.begin(round)
          if round & 1 == 0 { while pool.inFlight.queued == 0 {} }
          pool.close {}
        }
        turns.awaitEnd(round)
      }
    }
    return left(provider, 256)
  },

  Storm(name: "closing on one thread while the owner allocates and returns", rounds: 3000) {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let turns = Turns()
    let remote = Carrier<PagePool.Remote>(nil)
    let drained = Atomic<Int>(0)
    try beside {
      for round in 1...rounds {
        turns.await(round)
        if let pool = remote.take() {
          for _ in 0..<round % 301 { _ = turns.done.load(ordering: .relaxed) }
          pool.close { drained.add(1, ordering: .relaxed) }
        }
        turns.end(round)
      }
    } _: {
      for round in 1...rounds {
        let pool = try PagePool(
          provider: provider,
          configuration: .init(cacheCapacity: 4, refillCount: 3, ringCapacity: 2))
        remote.put(pool.remote)
        turns.begin(round)
        var step = 0
        while true {
          step += 1
          switch step % 7 {
          case 0: _ = pool.allocateBatch(1 + step % 5)
          // Of the larger ones each is the first or the last of its IOV.
          case 1: _ = pool.allocateFragment(byteCount: step % 2 == 0 ? 100 : 2000)
          case 2:
            var batch = NetmemBatch()
            for _ in 0..<9 { if let netmem = pool.allocate() { batch.append(netmem) } }
            while let netmem = batch.takeLast() { _ = netmem }
          case 3:
            if let netmem = pool.allocate() { _ = try pool.reclaim(netmem.detach()) }
          default: if pool.allocate() == nil, pool.statistics.closed > 0 { step = -1 }
          }
          if step < 0 { break }
        }
        turns.awaitEnd(round)
      }
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
      calling.callOnce { worker.run { box.drop() } }
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
    let turns = Turns()
    beside {
      for round in 1...rounds {
        turns.await(round)
        for cell in cells { cell.drop() }
        turns.end(round)
      }
    } _: {
      for round in 1...rounds {
        var batch = pool.allocateBatch(32)
        var position = 0
        batch.forEach { netmem in
          cells[position].put(netmem.share())
          position += 1
        }
        turns.begin(round)
        batch.forEach { _ in }
        turns.awaitEnd(round)
        batch.forEachMutable { netmem in
          try? netmem.withMutableBytes { $0.storeBytes(of: round, as: Int.self) }
        }
      }
    }
    return pool.inFlight.held == 0 ? nil : "\(pool.inFlight)"
  },

  Storm(name: "a forked child allocates nothing and returns nothing", rounds: 20) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    for _ in 0..<rounds {
      let pool = try PagePool(provider: provider)
      let cell = Carrier<Netmem>(pool.allocate()!)
      let child = Child(cell: cell, remote: pool.remote)
      let status = unsafe cstorm_in_child(
        { context in
          let child = unsafe Unmanaged<Child>.fromOpaque(context!).takeUnretainedValue()
          let before = child.remote.inFlight
          child.cell.drop()
          child.remote.close {}
          return child.remote.inFlight == before ? 0 : 1
        }, Unmanaged.passUnretained(child).toOpaque())
      if status != 0 { return "the child ended with \(status)" }
      if pool.inFlight.held != 1 { return "the parent's count is \(pool.inFlight)" }
      cell.drop()
    }
    return left(provider, 64)
  },
]

final class Child: Sendable {
  let cell: Carrier<Netmem>
  let remote: PagePool.Remote
  init(cell: Carrier<Netmem>, remote: PagePool.Remote) {
    self.cell = cell
    self.remote = remote
  }
}
