// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool

@inline(never)
func granule_path(_ pool: GenPool, _ count: Int) -> Int {
  var sum = 0
  for _ in 0..<count {
    guard let granule = pool.allocateGranule(), (try? pool.free(granule)) != nil else { return -1 }
    sum &+= 4096
  }
  return sum
}

/// A pool of `granuleCount` granules of which all but `freeCount` are taken.
func makeGenPool(granuleCount: Int, freeCount: Int) throws -> GenPool {
  let pool = try GenPool(granuleByteCount: 4096)
  try pool.addChunk(base: 0, byteCount: granuleCount * 4096)
  for _ in 0..<granuleCount - freeCount {
    guard pool.allocateGranule() != nil else { fatalError("the pool is smaller than it said") }
  }
  return pool
}
