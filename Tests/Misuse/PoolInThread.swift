// SPDX-License-Identifier: Apache-2.0
// A pool stays on its thread.
import DevmemPagePool
import Foundation

func misuse(_ pool: PagePool) {
  // expected-error: capture of 'pool' with non-Sendable type 'PagePool' in a '@Sendable' closure
  Thread.detachNewThread { _ = pool.allocate() }
}
