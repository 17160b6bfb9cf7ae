// SPDX-License-Identifier: Apache-2.0
// The right to allocate comes from who has it.
import DevmemPagePool

func misuse(_ pool: PagePool) -> PagePool {
  // expected-error: 'PagePool.Ownership' initializer is inaccessible due to 'fileprivate'
  PagePool.Ownership(pool).claim()
}
