// SPDX-License-Identifier: Apache-2.0
// A pool has one owner.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  let right = pool.relinquish()  // expected-error: 'right' consumed more than once
  let first = right
  let second = right
  _ = (first.remote, second.remote)
}
