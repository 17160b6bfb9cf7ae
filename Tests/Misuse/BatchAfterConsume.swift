// SPDX-License-Identifier: Apache-2.0
// Who has given a batch away does not have it.
import DevmemPagePool

func transmit(_ batch: consuming NetmemBatch) {}

func misuse(_ pool: PagePool) -> Netmem? {
  var batch = pool.allocateBatch(8)  // expected-error: 'batch' used after consume
  transmit(batch)
  return batch.popLast()
}
