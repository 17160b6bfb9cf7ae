// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemPagePool

/// One buffer at a time, or one path of the pool at a time. One thread.
extension BenchCase {
  static let pool = [
    BenchCase("fast_path", "allocate + return through the owner's cache") {
      let pool = try PagePool.forBench()
      return Loop { fast_path(pool, $0) }
    },
    BenchCase(
      "fast_path_fenced", "the same, while 64 others of the pool wait for a fence",
      comparedTo: "fast_path"
    ) {
      let pool = try PagePool.forBench()
      let fenced = Fenced(pool.allocateBatch(64))
      return Loop(tidy: { withExtendedLifetime(fenced) {} }) { fast_path(pool, $0) }
    },
    BenchCase("shared_fast_path", "allocate + return through a thread's part of a shared pool") {
      let pool = try SharedPagePool(provider: SlabProvider(iovCount: 256))
      return Loop { shared_fast_path(pool, $0) }
    },
    BenchCase("shared_bulk_64", "the same in batches of 64, per buffer", step: 64) {
      let pool = try SharedPagePool(provider: SlabProvider(iovCount: 256))
      return Loop { shared_bulk(pool, 64, $0) }
    },
    BenchCase("return_queue", "allocate + return over the queue of other threads", step: 64) {
      let pool = try PagePool.forBench()
      let window = NetmemWindow(capacity: 64)
      return Loop { return_queue(pool, window, $0) }
    },
    BenchCase("slow", "allocate + return, each to and from the provider's allocator", step: 64) {
      let pool = try PagePool(provider: try HostMemoryProvider(byteCount: 1 << 20))
      let window = NetmemWindow(capacity: 64)
      return Loop { slow(pool, window, $0) }
    },
    BenchCase("token", "allocate + detach + reclaim + return") {
      let pool = try PagePool.forBench()
      return Loop { token(pool, $0) }
    },
    BenchCase("fragment", "allocate + return of 1 KiB, four to an IOV") {
      let pool = try PagePool.forBench()
      return Loop { fragment(pool, $0) }
    },
    BenchCase("share_and_two_returns", "allocate + second handle + return of both") {
      let pool = try PagePool.forBench()
      return Loop { share_and_two_returns(pool, $0) }
    },
  ]
}

/// Buffers that wait for a fence, as a FenceReturner holds them. What waits for the fence itself
/// sleeps meanwhile, on a thread whose start and end would be counted as well.
private final class Fenced {
  private let batch: NetmemBatch

  init(_ batch: consuming NetmemBatch) {
    batch.beginFence()
    self.batch = batch
  }

  deinit { batch.endFence(hasFailed: false) }
}

/// Counts down: two instructions a turn.
@inline(never)
private func fast_path(_ pool: PagePool, _ count: Int) -> Int {
  var left = count
  while left != 0 {
    // The buffer dies at the end of the turn.
    guard pool.allocate() != nil else { break }
    left &-= 1
  }
  return count - left
}

@inline(never)
private func shared_fast_path(_ pool: SharedPagePool, _ count: Int) -> Int {
  var left = count
  while left != 0 {
    guard pool.allocate() != nil else { break }
    left &-= 1
  }
  return count - left
}

@inline(never)
private func shared_bulk(_ pool: SharedPagePool, _ size: Int, _ count: Int) -> Int {
  var done = 0
  while done < count {
    let batch = pool.allocateBatch(size)
    done += batch.count
  }
  return done
}

/// Without an owner, every return is one from another thread.
@inline(never)
private func return_queue(
  _ pool: PagePool, _ window: borrowing NetmemWindow, _ count: Int
) -> Int {
  var done = 0
  while done < count {
    guard window.fill(from: pool) else { return done }
    let right = relinquish(pool)
    window.drain()
    claim(right)
    done += window.capacity
  }
  return done
}

/// Once for 64 buffers: handing over counts references.
@inline(never)
private func relinquish(_ pool: PagePool) -> PagePool.Ownership { pool.relinquish() }

@inline(never)
private func claim(_ right: consuming PagePool.Ownership) { _ = right.claim() }

/// A change of node empties the cache into the provider.
@inline(never)
func slow(_ pool: PagePool, _ window: borrowing NetmemWindow, _ count: Int) -> Int {
  var done = 0
  while done < count {
    guard window.fill(from: pool) else { return done }
    window.drain()
    pool.node = 0
    done += window.capacity
  }
  return done
}

/// A buffer's way through a hardware ring: out as a token, and back.
@inline(never)
private func token(_ pool: PagePool, _ count: Int) -> Int {
  for done in 0..<count {
    guard let netmem = pool.allocate() else { return done }
    let token = netmem.detach()
    guard (try? pool.reclaim(token)) != nil else { return done }
  }
  return count
}

@inline(never)
private func fragment(_ pool: PagePool, _ count: Int) -> Int {
  for done in 0..<count {
    guard pool.allocateFragment(byteCount: 1024) != nil else { return done }
  }
  return count
}

@inline(never)
private func share_and_two_returns(_ pool: PagePool, _ count: Int) -> Int {
  for done in 0..<count {
    guard let netmem = pool.allocate() else { return done }
    _ = netmem.share()
  }
  return count
}
