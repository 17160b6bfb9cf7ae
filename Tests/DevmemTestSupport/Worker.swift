// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

/// A real thread that runs one closure after another, for tests about which thread does what.
package final class Worker: @unchecked Sendable {
  private let wake = DispatchSemaphore(value: 0)
  private let lock = NSLock()
  private var jobs: [(@Sendable () -> Void)?] = []

  package init() {
    Thread.detachNewThread { [self] in
      while true {
        wake.wait()
        let job = lock.withLock { jobs.removeFirst() }
        guard let job else { return }
        job()
      }
    }
  }

  /// Runs the closure on the thread, without waiting for it.
  package func start(_ job: @escaping @Sendable () -> Void) { enqueue(job) }

  /// Runs the closure on the thread and waits until it is done.
  package func run(_ job: @escaping @Sendable () -> Void) {
    let done = DispatchSemaphore(value: 0)
    enqueue {
      job()
      done.signal()
    }
    done.wait()
  }

  /// Ends the thread after what has been started.
  package func stop() { enqueue(nil) }

  private func enqueue(_ job: (@Sendable () -> Void)?) {
    lock.withLock { jobs.append(job) }
    wake.signal()
  }
}
