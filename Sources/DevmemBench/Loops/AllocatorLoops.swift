// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool

/// The allocator beneath, at every size and fill (`gen_pool_alloc` + `gen_pool_free`). One thread.
extension BenchCase {
  static let allocators = [("64M", 1 << 14), ("1G", 1 << 18), ("64G", 1 << 24)].flatMap {
    (size, granuleCount) in
    [
      BenchCase("genpool_4k_empty_\(size)", "allocate + free of 4 KiB, all \(size) free") {
        let pool = try emptyPool(granuleCount: granuleCount)
        return Loop { genpool_4k(pool, $0) }
      },
      BenchCase(
        "genpool_4k_nearly_full_\(size)", "allocate + free of 4 KiB, the last free ones of \(size)"
      ) {
        let pool = try emptyPool(granuleCount: granuleCount)
        try leaveOneFree(in: pool, granuleCount: granuleCount)
        return Loop { genpool_4k(pool, $0) }
      },
    ]
  }
}

private func emptyPool(granuleCount: Int) throws -> GenPool {
  let pool = try GenPool(granuleByteCount: 4096)
  try pool.addChunk(base: 0, byteCount: granuleCount * 4096)
  return pool
}

private func leaveOneFree(in pool: GenPool, granuleCount: Int) throws {
  var takenCount = 0
  while let batch = pool.allocateBatch(upTo: 64) { takenCount += batch.count }
  guard takenCount == granuleCount else {
    throw BenchError.stopped("filling the pool", after: takenCount, of: granuleCount)
  }
  // In the middle, where no search begins.
  try pool.free(address: UInt64(granuleCount / 2 + 17) * 4096, byteCount: 4096)
}

@inline(never)
private func genpool_4k(_ pool: GenPool, _ count: Int) -> Int {
  for done in 0..<count {
    guard let granule = pool.allocateGranule(), (try? pool.free(granule)) != nil else {
      return done
    }
  }
  return count
}
