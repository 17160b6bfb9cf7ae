// SPDX-License-Identifier: Apache-2.0

import CPeerBench
import Devmem

/// The loops of ../Harness/dpdk.c over a page pool. Each handles at least `count` buffers and
/// returns how many there really were, and the nanoseconds that took.
///
/// The kernel's own benchmark has the cases that are compared by instructions alone; their
/// counterparts are in KernelCases.swift.
struct Cases {
  typealias Result = (count: Int, nanoseconds: UInt64)

  /// 32 MiB, as the peers' pools have.
  static let bufferCount = 8192

  let pool: PagePool
  let sharedPool: SharedPagePool

  init() throws {
    // What DPDK's cache of 256 holds before it goes to its ring, and how many it gets there.
    let configuration = PagePool.Configuration(
      cacheCapacity: 384, refillCount: 256, ringCapacity: Self.bufferCount)
    pool = try PagePool(
      provider: HostMemoryProvider(byteCount: Self.bufferCount * 4096),
      configuration: .init(cacheCapacity: 384, refillCount: 128))
    sharedPool = try SharedPagePool(
      provider: HostMemoryProvider(byteCount: Self.bufferCount * 4096),
      configuration: configuration)
  }

  func run(_ name: String, _ count: Int) throws -> Result? {
    switch name {
    case "fast_path": timed(count, fastPath)
    case "fast_path_window_64": timed(count, window64)
    case "bulk_32": timed(count) { bulk($0, Int(peer_hide(32))) }
    case "bulk_64": timed(count) { bulk($0, Int(peer_hide(64))) }
    // DPDK copies a burst whose size the compiler knows with fewer instructions.
    case "bulk_64_constant": timed(count) { bulk($0, 64) }
    case "share_and_two_returns": timed(count, shareAndTwoReturns)
    case "cross_thread_single": SingleCrossing(pool, count, collecting: true).run()
    case "cross_thread_single_at_once": SingleCrossing(sharedPool, count, collecting: false).run()
    case "cross_thread_single_queued": SingleCrossing(pool, count, collecting: false).run()
    case "shared_fast_path": timed(count, sharedFastPath)
    case "shared_bulk_64": timed(count) { sharedBulk($0, Int(peer_hide(64))) }
    case "cross_thread_burst32": BurstCrossing(pool, count).run()
    default: try KernelCases.run(name, count)
    }
  }

  private func timed(_ count: Int, _ body: (Int) -> Int) -> Result {
    let begin = peer_now()
    let done = body(count)
    return (done, peer_now() - begin)
  }

  @inline(never)
  private func fastPath(_ count: Int) -> Int {
    for _ in 0..<count {
      // The buffer dies at the end of the turn.
      guard let netmem = pool.allocate() else { fatalError("the pool is empty") }
      _ = netmem
    }
    return count
  }

  @inline(never)
  private func sharedFastPath(_ count: Int) -> Int {
    for _ in 0..<count {
      guard let netmem = sharedPool.allocate() else { fatalError("the pool is empty") }
      _ = netmem
    }
    return count
  }

  @inline(never)
  private func sharedBulk(_ count: Int, _ size: Int) -> Int {
    var done = 0
    while done < count {
      let batch = sharedPool.allocateBatch(size)
      done += batch.count
    }
    return done
  }

  @inline(never)
  private func window64(_ count: Int) -> Int {
    var done = 0
    unsafe withUnsafeTemporaryAllocation(of: Netmem.self, capacity: 64) { window in
      let slots = unsafe window.baseAddress.unsafelyUnwrapped
      while done < count {
        for position in 0..<64 {
          guard let netmem = pool.allocate() else { fatalError("the pool is empty") }
          unsafe (slots + position).initialize(to: netmem)
        }
        for position in 0..<64 { _ = unsafe (slots + position).move() }
        done += 64
      }
    }
    return done
  }

  @inline(__always)
  private func bulk(_ count: Int, _ size: Int) -> Int {
    var done = 0
    while done < count {
      // The batch dies at the end of the turn.
      let batch = pool.allocateBatch(size)
      done += batch.count
    }
    return done
  }

  @inline(never)
  private func shareAndTwoReturns(_ count: Int) -> Int {
    for _ in 0..<count {
      guard let netmem = pool.allocate() else { fatalError("the pool is empty") }
      let second = netmem.share()
      _ = consume netmem
      _ = consume second
    }
    return count
  }
}
