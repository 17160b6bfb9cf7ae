// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Packets that the kernel has put off freeing. A packet that is read on one processor and was
/// received on another goes onto a list of the other's, which that one looks at when it next has
/// network traffic (`skb_attempt_defer_free`, net/core/skbuff.c; up to `net.core.skb_defer_max` of
/// them). On a quiet machine that may be never, and until then their buffers are missing from the
/// page pool.
enum DeferredPackets {
  /// Gives each processor a little traffic over loopback.
  static func free() {
    let thread = BackgroundThread {
      for processor in 0..<max(1, sysconf(Int32(_SC_NPROCESSORS_CONF))) {
        guard (try? SystemProcess.setProcessor(processor)) != nil else { continue }
        // A refused connection is traffic enough: both of its packets come in on this processor.
        _ = try? TCPSocket.connect(port: 9)
      }
    }
    try? thread.join()
  }
}
