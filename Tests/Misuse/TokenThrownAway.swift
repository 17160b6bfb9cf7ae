// SPDX-License-Identifier: Apache-2.0
// A token that nobody keeps is a buffer that never comes back.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  guard let buffer = pool.allocate() else { return }
  buffer.detach()  // expected-error: result of call to 'detach()' is unused
}
