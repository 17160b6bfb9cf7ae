// SPDX-License-Identifier: Apache-2.0
// A pool stays on its thread; a group's tasks run on any.
import DevmemPagePool

func misuse(_ pool: PagePool) async {
  await withTaskGroup(of: Bool.self) { group in
    // expected-error: passing closure as a 'sending' parameter risks causing data races
    for _ in 0..<2 { group.addTask { pool.allocate() != nil } }
  }
}
