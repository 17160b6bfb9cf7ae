// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import Synchronization

/// One thread allocates, others return. The numbers are of the whole: time per buffer that went
/// round.
extension BenchCase {
  static let threads =
    [
      threadCase("cross_thread_single", "allocate here, return on another thread, one by one") {
        let pool = try PagePool.forBench(iovCount: 4096)
        return { cross_thread_single(pool, $0) }
      },
      threadCase("shared_cross_thread_single", "the same over a shared pool") {
        let pool = try SharedPagePool(provider: SlabProvider(iovCount: 4096))
        return { shared_cross_thread_single(pool, $0) }
      },
      threadCase(
        "cross_thread_burst32", "the same in batches of 32, per buffer", step: 32
      ) {
        let pool = try PagePool.forBench(iovCount: 4096)
        return { cross_thread_burst(pool, 32, $0) }
      },
    ]
    + [1, 2, 4, 8].map { returnerCount in
      threadCase(
        "many_returners_\(returnerCount)",
        returnerCount == 1
          ? "allocate here, return on another thread, as below"
          : "allocate here, return on \(returnerCount) other threads",
        step: returnersBurst
      ) {
        // As many may come back at once as the rings hold; they are to stay in the pool.
        let pool = try PagePool.forBench(iovCount: 16_384, ringCapacity: 16_384)
        return { many_returners(pool, returnerCount, $0) }
      }
    }

  /// Longer than the others: starting the threads should not count.
  private static func threadCase(
    _ name: String, _ summary: String, step: Int = 1,
    prepare: @escaping @Sendable () throws -> (Int) -> Int
  ) -> BenchCase {
    BenchCase(
      name, summary, step: step, runTime: .milliseconds(60), repeatLimit: .max,
      instructionRange: nil
    ) { Loop(try prepare()) }
  }
}

/// Buffers that one returner gets in a row: what a NIC's queue hands over in one go.
private let returnersBurst = 32

/// Waits until a buffer is back.
private func allocateWaiting(_ pool: PagePool) -> Netmem {
  if let netmem = pool.allocate() { return netmem }
  var spin = SpinWait()
  while true {
    spin.wait()
    if let netmem = pool.allocate() { return netmem }
  }
}

@inline(never)
private func cross_thread_single(_ pool: PagePool, _ count: Int) -> Int {
  let ring = HandoverRing<Netmem>(capacity: 1024)
  let returner = BenchThread {
    for _ in 0..<count { _ = ring.wait() }
  }
  for _ in 0..<count { ring.push(allocateWaiting(pool)) }
  returner.join()
  return count
}

@inline(never)
private func shared_cross_thread_single(_ pool: SharedPagePool, _ count: Int) -> Int {
  let ring = HandoverRing<Netmem>(capacity: 1024)
  let returner = BenchThread {
    for _ in 0..<count { _ = ring.wait() }
  }
  for _ in 0..<count {
    // More buffers than fit in the ring and the other thread's cache: none can be missing.
    guard let netmem = pool.allocate() else { fatalError("the pool ran out") }
    ring.push(netmem)
  }
  returner.join()
  return count
}

@inline(never)
private func cross_thread_burst(_ pool: PagePool, _ size: Int, _ count: Int) -> Int {
  let ring = HandoverRing<NetmemBatch>(capacity: 32)
  let returner = BenchThread {
    var left = count
    while left > 0 { left -= ring.wait().count }
  }
  var done = 0
  while done < count {
    let batch = pool.allocateBatch(size)
    // More buffers than fit in the ring: none can be missing.
    precondition(batch.count == size, "the pool ran out")
    ring.push(batch)
    done += size
  }
  returner.join()
  return done
}

/// Buffers go round, a burst to whoever has room, and are returned one by one: the returners all
/// push to the same queue. Nobody waits for a returner that has no processor just now.
@inline(never)
private func many_returners(_ pool: PagePool, _ returnerCount: Int, _ count: Int) -> Int {
  let rings = (0..<returnerCount).map { _ in HandoverRing<Netmem>(capacity: 1024) }
  let end = EndFlag()
  let returners = rings.map { ring in
    BenchThread { drain(ring, until: end) }
  }
  var spin = SpinWait()
  var done = 0
  while done < count {
    let before = done
    for ring in rings where done < count {
      var left = min(returnersBurst, count - done)
      while left > 0, ring.hasRoom {
        ring.push(allocateWaiting(pool))
        left -= 1
        done += 1
      }
    }
    if done == before { spin.wait() } else { spin = SpinWait() }
  }
  end.isReached.store(true, ordering: .releasing)
  for returner in returners { returner.join() }
  return done
}

private final class EndFlag: Sendable {
  let isReached = Atomic<Bool>(false)
}

private func drain(_ ring: HandoverRing<Netmem>, until end: EndFlag) {
  var spin = SpinWait()
  while true {
    // Read before the last look: what was given before it is then seen.
    let isLast = end.isReached.load(ordering: .acquiring)
    if ring.pop() != nil {
      while ring.pop() != nil {}
      spin = SpinWait()
    } else if isLast {
      return
    }
    spin.wait()
  }
}
