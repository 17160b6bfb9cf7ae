// SPDX-License-Identifier: Apache-2.0
// A bare address is checked by nobody: it takes the word.
import DevmemPagePool

func misuse(_ buffer: borrowing Netmem) -> Bool {
  // expected-error: expression uses unsafe constructs but is not marked with 'unsafe'
  buffer.cpuAddress != nil
}
