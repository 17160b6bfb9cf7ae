// SPDX-License-Identifier: Apache-2.0
// A pool stays on its thread; an actor that wants one makes it, on a SingleThreadExecutor.
import DevmemPagePool

actor Receiver {
  var pool: PagePool?
  func use(_ pool: PagePool) { self.pool = pool }
}

func misuse(_ pool: PagePool, _ receiver: Receiver) async {
  await receiver.use(pool)  // expected-error: sending 'pool' risks causing data races
}
