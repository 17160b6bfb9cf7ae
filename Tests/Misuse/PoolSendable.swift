// SPDX-License-Identifier: Apache-2.0
// A pool is not Sendable, also for generic code.
import DevmemPagePool

func needsSendable<Value: Sendable>(_ value: Value) {}

func misuse(_ pool: PagePool) {
  // expected-error: type 'PagePool' does not conform to the 'Sendable' protocol
  needsSendable(pool)
}
