// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// What a consumer of packets does all day, within the cache of its pool.
@inline(never)
func fast_path(_ pool: PagePool, _ count: Int) -> Int {
  var sum = 0
  for _ in 0..<count {
    // The buffer dies at the end of the turn.
    guard let netmem = pool.allocate() else { return -1 }
    sum &+= netmem.byteCount
  }
  return sum
}

/// A buffer's way through a hardware ring: out as a token, and back.
@inline(never)
func token_path(_ pool: PagePool, _ count: Int) -> Int {
  var sum = 0
  for _ in 0..<count {
    guard let netmem = pool.allocate() else { return -1 }
    let token = netmem.detach()
    guard let back = try? pool.reclaim(token) else { return -1 }
    sum &+= back.byteCount
  }
  return sum
}
