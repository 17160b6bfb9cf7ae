// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemPagePool

/// Threads with a pool each over one device carving, as the queues of a NIC have them: every buffer
/// comes from the allocator that they share and goes back to it. The numbers are of the whole: with
/// a processor for each thread, N of them should need an Nth of the time.
extension BenchCase {
  static let poolsOfOneBinding = [1, 2, 4, 8].map { poolCount in
    BenchCase(
      "pools_of_one_binding_\(poolCount)",
      poolCount == 1
        ? "allocate + return past the cache, one pool on a thread of its own"
        : "the same with \(poolCount) pools, a thread each, over one carving",
      step: poolCount * window, runTime: .milliseconds(60), repeatLimit: .max,
      instructionRange: nil
    ) {
      let carving = try DMABufCarving(.memoryFile(byteCount: 64 << 20))
      return Loop { pools_of_one_binding(carving, poolCount, $0) }
    }
  }

  private static let window = 64

  @inline(never)
  private static func pools_of_one_binding(
    _ carving: DMABufCarving, _ poolCount: Int, _ count: Int
  ) -> Int {
    let threads = (0..<poolCount).map { _ in
      BenchThread {
        do {
          let pool = try PagePool(provider: DMABufMemoryProvider(carving))
          let window = NetmemWindow(capacity: window)
          let share = count / poolCount
          let done = slow(pool, window, share)
          precondition(done == share, "a pool ran out")
        } catch {
          fatalError("no pool: \(error)")
        }
      }
    }
    for thread in threads { thread.join() }
    return count
  }
}
