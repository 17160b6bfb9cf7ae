// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A thread that runs one closure, which may block as long as it likes, and keeps its error.
@safe
final class BackgroundThread: Sendable {
  private final class Job: Sendable {
    let body: @Sendable () throws -> Void
    let failure = Mutex<(any Error)?>(nil)

    init(_ body: @escaping @Sendable () throws -> Void) { self.body = body }

    func run() {
      do {
        try body()
      } catch {
        failure.withLock { $0 = error }
      }
    }
  }

  private let job: Job
  private let thread: pthread_t

  init(_ body: @escaping @Sendable () throws -> Void) {
    let job = Job(body)
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        // SAFETY: retained below for exactly this thread.
        unsafe Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(job).toOpaque())
    precondition(error == 0, "no more threads")
    self.job = job
    self.thread = thread
  }

  /// What the closure has thrown so far.
  var failure: (any Error)? { job.failure.withLock { $0 } }

  /// Waits for the thread's end and throws what its closure threw. To be called exactly once.
  func join() throws {
    pthread_join(thread, nil)
    if let failure { throw failure }
  }
}
