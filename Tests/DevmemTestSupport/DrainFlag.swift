// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A flag that a pool's `close(whenDrained:)` sets.
package final class DrainFlag: Sendable {
  private let flag = Atomic<Bool>(false)

  package init() {}

  package func set() { flag.store(true, ordering: .releasing) }
  package func clear() { flag.store(false, ordering: .releasing) }
  package var isSet: Bool { flag.load(ordering: .acquiring) }
}
