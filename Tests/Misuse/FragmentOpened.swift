// SPDX-License-Identifier: Apache-2.0
// The rest of a fragment's buffer is other fragments'.
import DevmemPagePool

func misuse(_ fragment: borrowing NetmemFragment) throws {
  // expected-error: 'netmem' is inaccessible due to 'internal' protection level
  try fragment.netmem.withBytes { _ in }
}
