// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// What an executor and its thread share: the jobs, and whether there will be more.
final class JobQueue: @unchecked Sendable {
  private let gate = ThreadGate()
  // SAFETY: all four are touched only by who has the gate's lock.
  private var jobs: [UnownedJob] = []
  /// The executor, while there are jobs: they keep it alive. One reference for all of them.
  private var executor: SingleThreadExecutor?
  private var isThreadWaiting = false
  private var isClosed = false

  /// An array that a burst has made larger than this many jobs (8 KiB) is given back.
  private static let keptJobCount = 1024

  /// Any thread.
  func append(_ job: UnownedJob, of executor: SingleThreadExecutor) {
    gate.lock()
    jobs.append(job)
    if jobs.count == 1 { self.executor = executor }
    let wakes = isThreadWaiting
    // The next to append need not wake it once more.
    isThreadWaiting = false
    gate.unlock()
    if wakes { gate.signal() }
  }

  /// Tells the thread to end. Any thread; called when the executor goes, so there are no jobs.
  func close() {
    gate.lock()
    assert(jobs.isEmpty && executor == nil, "jobs keep their executor alive")
    isClosed = true
    gate.unlock()
    gate.signal()
  }

  /// What the thread does, until the queue is closed.
  func run() {
    var batch: [UnownedJob] = []
    while let executor = take(&batch) {
      // Until the last job has returned: the runtime looks at the executor until then.
      withExtendedLifetime(executor) {
        let serial = unsafe executor.asUnownedSerialExecutor()
        let task = unsafe executor.asUnownedTaskExecutor()
        for job in batch { unsafe job.runSynchronously(isolatedTo: serial, taskExecutor: task) }
      }
      batch.removeAll(keepingCapacity: batch.count <= Self.keptJobCount)
      // Here the reference goes. If it is the last one, the queue is closed before the next turn.
    }
  }

  /// Sleeps until there are jobs and takes them all, with the reference to the executor that they
  /// hold; nil when the queue is closed.
  private func take(_ batch: inout [UnownedJob]) -> SingleThreadExecutor? {
    gate.lock()
    defer { gate.unlock() }
    while jobs.isEmpty {
      if isClosed { return nil }
      isThreadWaiting = true
      gate.wait()
    }
    isThreadWaiting = false
    swap(&jobs, &batch)
    return self.executor.take()
  }
}
