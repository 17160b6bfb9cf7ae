// SPDX-License-Identifier: Apache-2.0

import CBenchSupport
import Glibc

/// Waits for another thread: a short while on the processor, then by letting others run. With more
/// threads than processors, the one that is waited for may need this one's.
struct SpinWait {
  /// About a microsecond of pauses: a cache line's way to another core takes a tenth of that.
  private static var spinLimit: Int { 32 }

  private var turnCount = 0

  mutating func wait() {
    turnCount += 1
    if turnCount < Self.spinLimit {
      cbench_pause()
    } else {
      sched_yield()
    }
  }
}
