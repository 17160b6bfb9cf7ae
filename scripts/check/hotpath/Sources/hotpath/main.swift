// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

// Each loop below is one line of budgets.txt and bears its name: the check finds the function in the
// disassembly by it. What a loop does `count` times is what is counted.

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

guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]) else {
  fatalError("usage: hotpath LOOP COUNT")
}
let pool = try PagePool(provider: try SlabProvider(iovCount: 256))
let sum =
  switch CommandLine.arguments[1] {
  case "fast_path": fast_path(pool, count)
  default: fatalError("no loop of that name")
  }
precondition(sum == count * pool.iovByteCount, "a buffer was missing")
