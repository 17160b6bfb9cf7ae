// SPDX-License-Identifier: Apache-2.0
// A batch returns its buffers once.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  let batch = pool.allocateBatch(8)  // expected-error: 'batch' consumed more than once
  let first = batch
  let second = batch
  _ = (first.count, second.count)
}
