// SPDX-License-Identifier: Apache-2.0
// Who has a buffer on loan cannot return it.
import DevmemPagePool

func release(_ buffer: consuming Netmem) {}

// expected-error: 'buffer' is borrowed and cannot be consumed
func misuse(_ buffer: borrowing Netmem) {
  release(buffer)
}
