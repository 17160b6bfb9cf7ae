// SPDX-License-Identifier: Apache-2.0
// A double free, from the second round on.
import DevmemPagePool

func release(_ buffer: consuming Netmem) {}

func misuse(_ pool: PagePool) {
  guard let buffer = pool.allocate() else { return }  // expected-error: 'buffer' consumed in a loop
  for _ in 0..<2 { release(buffer) }
}
