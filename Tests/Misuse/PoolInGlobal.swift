// SPDX-License-Identifier: Apache-2.0
// A pool stays on its thread; everybody sees a global.
import DevmemPagePool

enum Pools {
  // expected-error: static property 'shared' is not concurrency-safe because non-'Sendable' type
  static let shared: PagePool? = nil
}
