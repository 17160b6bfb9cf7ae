// SPDX-License-Identifier: Apache-2.0
// A batch lends its buffers.
import DevmemPagePool

func misuse(_ batch: borrowing NetmemBatch) {
  var kept: Netmem?
  batch.forEach { kept = $0 }  // expected-error: implicit conversion to 'Netmem?' is consuming
  _ = kept?.byteCount
}
