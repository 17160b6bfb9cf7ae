// SPDX-License-Identifier: Apache-2.0
// Buffers come out of pools.
import DevmemPagePool

func misuse() -> Netmem {
  // expected-error: 'Netmem' initializer is inaccessible due to 'internal' protection level
  Netmem(record: .allocate(capacity: 1))
}
