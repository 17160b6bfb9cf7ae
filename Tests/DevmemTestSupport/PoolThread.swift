// SPDX-License-Identifier: Apache-2.0

/// An actor whose jobs all run on one thread, which can own a pool. (The main actor will not do: in a
/// test process several threads take turns at serving it.)
@globalActor
package actor PoolThread {
  package static let shared = PoolThread()

  private final class Executor: SerialExecutor {
    private let worker = Worker()

    func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      worker.start { unsafe job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
  }

  private let executor = Executor()

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }
}
