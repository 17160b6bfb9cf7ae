// SPDX-License-Identifier: Apache-2.0
// A buffer has one handle: who wants two says share().
import DevmemPagePool

func misuse(_ pool: PagePool) {
  // expected-error: 'buffer' consumed more than once
  guard let buffer = pool.allocate() else { return }
  let first = buffer
  let second = buffer
  _ = (first.byteCount, second.byteCount)
}
