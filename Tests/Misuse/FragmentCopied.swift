// SPDX-License-Identifier: Apache-2.0
// A fragment is returned once.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  // expected-error: 'fragment' consumed more than once
  guard let fragment = pool.allocateFragment(byteCount: 64) else { return }
  let first = fragment
  let second = fragment
  _ = (first.byteCount, second.byteCount)
}
