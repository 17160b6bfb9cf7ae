// SPDX-License-Identifier: Apache-2.0
// What a buffer is to its provider is no user's business.
import DevmemPagePool

func misuse(_ buffer: borrowing Netmem) -> NetIOVReference {
  buffer.iov  // expected-error: 'iov' is inaccessible due to 'package' protection level
}
