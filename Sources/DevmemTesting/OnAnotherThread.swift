// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Runs `body` on a new thread and waits for the thread's end.
func onAnotherThread(_ body: @escaping @Sendable () -> Void) {
  let job = unsafe Unmanaged.passRetained(Job(body))
  var thread = pthread_t()
  let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
    // SAFETY: the one reference that was retained for the thread.
    if let argument = unsafe argument {
      unsafe Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
    }
    return nil
  }
  let error = unsafe pthread_create(&thread, nil, start, job.toOpaque())
  guard error == 0 else { fatalError("no second thread for a test: error \(error)") }
  pthread_join(thread, nil)
}

private final class Job: Sendable {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
