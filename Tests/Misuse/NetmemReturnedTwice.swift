// SPDX-License-Identifier: Apache-2.0
// A double free.
import DevmemPagePool

func release(_ buffer: consuming Netmem) {}

func misuse(_ pool: PagePool) {
  // expected-error: 'buffer' consumed more than once
  guard let buffer = pool.allocate() else { return }
  release(buffer)
  release(buffer)
}
