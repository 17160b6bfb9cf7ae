// SPDX-License-Identifier: Apache-2.0
// A pool stays on its thread; a task runs on any.
import DevmemPagePool

func misuse(_ pool: PagePool) {
  // expected-error: passing closure as a 'sending' parameter risks causing data races
  Task.detached { _ = pool.allocate() }
  _ = pool.allocate()
}
