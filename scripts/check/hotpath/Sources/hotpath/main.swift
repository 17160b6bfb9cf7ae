// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemPagePool

// Each loop is one line of budgets.txt and bears its name: the check finds the function in the
// disassembly by it. What a loop does `count` times is what is counted.

guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]) else {
  fatalError("usage: hotpath LOOP COUNT")
}
func makePagePool() throws -> PagePool {
  try PagePool(provider: try SlabProvider(iovCount: 256))
}
let sum =
  switch CommandLine.arguments[1] {
  case "fast_path": fast_path(try makePagePool(), count)
  case "token_path": token_path(try makePagePool(), count)
  case "granule_path": granule_path(try makeGenPool(granuleCount: 1024, freeCount: 1024), count)
  case "granule_path.full":
    granule_path(try makeGenPool(granuleCount: 1 << 17, freeCount: 1), count)
  default: fatalError("no loop of that name")
  }
precondition(sum == count * 4096, "a buffer was missing")
