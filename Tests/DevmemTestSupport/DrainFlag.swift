// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A flag that a pool's `close(whenDrained:)` sets.
public final class DrainFlag: Sendable {
  private let flag = Atomic<Bool>(false)

  public init() {}

  public func set() { flag.store(true, ordering: .releasing) }
  public var isSet: Bool { flag.load(ordering: .acquiring) }
}
