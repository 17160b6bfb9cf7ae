// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A thread that runs one closure.
@safe
final class BenchThread: Sendable {
  private final class Job: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private let thread: pthread_t

  init(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        // SAFETY: retained below for exactly this thread.
        unsafe Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(Job(body)).toOpaque())
    precondition(error == 0, "no more threads")
    self.thread = thread
  }

  /// Waits for its end. To be called exactly once.
  func join() { pthread_join(thread, nil) }
}
