// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import Synchronization

/// Signals that interrupt what a thread waits in, again and again.
package enum Interruptions {
  /// Two milliseconds apart: some seconds together, far beyond the limits that tests wait for, and
  /// far more often.
  private static let count = 3000

  private final class State: Sendable {
    let isOver = Atomic<Bool>(false)
    let sent = Atomic<Int>(0)
  }

  /// Runs `body` while its thread is interrupted.
  ///
  /// - Returns: what `body` returned, and whether it ended while signals were still coming: a limit
  ///   that begins anew with each one ends only after the last.
  package static func during<Result>(
    _ body: () throws -> Result
  ) rethrows -> (result: Result, endedMeanwhile: Bool) {
    var action = sigaction()
    // A handler, because an ignored signal interrupts nothing; without SA_RESTART.
    unsafe action.__sigaction_handler.sa_handler = { _ in }
    let installed = unsafe sigaction(SIGUSR2, &action, nil)
    precondition(installed == 0, "sigaction: \(errno)")
    // Tests run on threads of libdispatch, which blocks signals there: none would interrupt
    // anything.
    var signals = sigset_t()
    var before = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe sigaddset(&signals, SIGUSR2)
    unsafe pthread_sigmask(SIG_UNBLOCK, &signals, &before)
    let state = State()
    let thread = pthread_self()
    let worker = Worker()
    let done = DispatchSemaphore(value: 0)
    worker.start {
      while state.sent.load(ordering: .relaxed) < count, !state.isOver.load(ordering: .acquiring) {
        pthread_kill(thread, SIGUSR2)
        state.sent.add(1, ordering: .relaxed)
        usleep(2000)
      }
      done.signal()
    }
    defer {
      // Whoever sends must not meet a thread that has ended.
      state.isOver.store(true, ordering: .releasing)
      done.wait()
      worker.stop()
      unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    }
    let result = try body()
    return (result, state.sent.load(ordering: .relaxed) < count)
  }
}
