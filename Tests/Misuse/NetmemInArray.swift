// SPDX-License-Identifier: Apache-2.0
// What keeps many buffers is a NetmemBatch, not an array, which copies.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  // expected-error: type 'Netmem' does not conform to protocol 'Copyable'
  var buffers: [Netmem] = []
  if let buffer = pool.allocate() { buffers.append(buffer) }
}
