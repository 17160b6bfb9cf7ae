// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// Many buffers held at a time: as a ring holds them, and as batches. One thread.
extension BenchCase {
  static let windows = [32, 64, 128, 1024].map { size in
    BenchCase(
      "fast_path_window_\(size)", "allocate + return, \(size) held at a time", step: size
    ) {
      let pool = try PagePool.forBench(iovCount: 2 * size + 256)
      let window = NetmemWindow(capacity: size)
      return Loop { fast_path_window(pool, window, $0) }
    }
  }

  static let bulks = [32, 64].map { size in
    BenchCase(
      "bulk_\(size)", "allocate + return of one buffer in batches of \(size)", step: size
    ) {
      let pool = try PagePool.forBench()
      return Loop { bulk(pool, size, $0) }
    }
  }
}

@inline(never)
private func fast_path_window(
  _ pool: PagePool, _ window: borrowing NetmemWindow, _ count: Int
) -> Int {
  var done = 0
  while done < count {
    guard window.fill(from: pool) else { return done }
    window.drain()
    done += window.capacity
  }
  return done
}

@inline(never)
private func bulk(_ pool: PagePool, _ size: Int, _ count: Int) -> Int {
  var done = 0
  while done < count {
    let batch = pool.allocateBatch(size)
    guard batch.count == size else { return done }
    done += size
  }
  return done
}
