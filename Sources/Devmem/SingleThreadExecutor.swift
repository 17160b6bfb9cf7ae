// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// An executor with one thread of its own (pthread_create(3)): for actors that own what belongs to
/// a thread, such as a `PagePool`, and for tasks that are to stay on one processor.
///
/// See ``SingleThreadActor`` for an actor on it. `Task(executorPreference: executor) { }` and
/// `withTaskExecutorPreference(executor) { }` run there what belongs to no actor, and actors that
/// have no executor of their own; a closure that is isolated to the main actor stays on the main
/// actor.
///
/// What is promised:
/// - *One thread.* Every job runs on the thread that `init` made, from the first to the last.
/// - *Order.* Jobs run one after the other in the order in which they were enqueued. Priorities
///   change nothing.
/// - *No job is lost.* A job that was enqueued keeps the executor alive until it has run. The last
///   reference cannot go before.
/// - *It ends by itself.* There is nothing to stop or close: the thread ends when the last
///   reference goes. Who drops that reference on another thread waits there until the executor's
///   thread has ended. No job is left to run then, only destructors of thread-specific data: hold
///   no lock that those need. If one of the executor's own jobs drops it, the thread ends after
///   that job and all others that were enqueued.
/// - *Idle is idle.* Without jobs the thread sleeps in the kernel and uses no processor time.
/// - *Nothing is left behind* by an `init` that throws: neither thread nor memory.
///
/// Who keeps it alive: an actor on it, as long as it is there; a task that was made with it as its
/// preference, until the task ends; jobs, until they have run. The thread does not: an executor
/// that nobody refers to does not live on.
///
/// Enqueueing takes a lock, appends to an array and wakes the thread if it sleeps. Everything here
/// may be called from any thread.
public final class SingleThreadExecutor: SerialExecutor, TaskExecutor, Sendable {
  /// Where the thread runs.
  ///
  /// The kernel decides which processors the process may use at all (cpuset(7)). ``processor(_:)``
  /// and ``node(_:)`` may name some that taskset(1) has not given to the process, as
  /// sched_setaffinity(2) allows; ``anywhere`` stays on those that it has.
  public enum Placement: Hashable, Sendable {
    /// Wherever the process may: on the processors of its first thread, those of taskset(1), also
    /// if the thread that makes the executor is kept on fewer.
    case anywhere
    /// On one processor, by the kernel's number, from 0.
    case processor(Int)
    /// On the processors of a NUMA node, by the kernel's number, from 0. The memory that the thread
    /// touches first then comes from that node, while it has any.
    case node(Int)
  }

  /// The thread's name, as ps(1), top(1) and perf(1) show it: at most 15 bytes.
  public let name: String
  /// Where the thread runs.
  package let placement: Placement

  private let queue: JobQueue
  // Dropped after deinit has closed the queue: that waits for the thread's end, or lets it end
  // alone.
  private let thread: SystemThread

  deinit { queue.close() }

  /// Starts the thread.
  /// - Parameters:
  ///   - name: what the kernel calls the thread; cut after 15 bytes.
  ///   - placement: where it runs.
  /// - Throws: ``DevmemError``: `noSuchProcessor` or `noSuchNode` for one that is not there, that
  ///   has no processor or that this process may not use; `threadLimit` or `outOfMemory`.
  public init(name: String, placement: Placement = .anywhere) throws(DevmemError) {
    let name = SystemThread.name(name)
    let queue = JobQueue()
    do throws(Errno) {
      let processors =
        switch placement {
        case .anywhere: try ProcessorSet.ofProcess()
        case .processor(let number): ProcessorSet(processor: number)
        case .node(let number): try ProcessorSet.of(NUMANode(number))
        }
      // The queue and not self: the thread may not keep alive what ends it.
      thread = try SystemThread(name: name, processors: processors) { queue.run() }
    } catch {
      throw .startingThread(name, placement, error)
    }
    self.name = name
    self.placement = placement
    self.queue = queue
  }

  /// Whether the calling thread is the executor's.
  public var isCurrentThread: Bool { thread.isCurrent }

  /// Runs `body` on the executor's thread, after what was enqueued before, and returns what it
  /// returns.
  ///
  /// For what has to be made on the thread before there is an actor to do it: `pool = try await
  /// executor.run { try PagePool(provider: provider) }`. The result goes over to the caller: it
  /// need not be `Sendable`, but nothing else may refer to it.
  public func run<Result, Failure: Error>(
    _ body: @Sendable () throws(Failure) -> sending Result
  ) async throws(Failure) -> sending Result {
    try await Guest(executor: self).run(body)
  }

  private actor Guest: SingleThreadActor {
    nonisolated let executor: SingleThreadExecutor
    init(executor: SingleThreadExecutor) { self.executor = executor }

    func run<Result, Failure: Error>(
      _ body: @Sendable () throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      try body()
    }
  }
}

// MARK: - What the runtime calls

extension SingleThreadExecutor {
  /// Appends a job. Any thread.
  public func enqueue(_ job: consuming ExecutorJob) {
    queue.append(UnownedJob(job), of: self)
  }

  /// The executor as actors name it; ``SingleThreadActor`` does it for them.
  @unsafe public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// The executor as tasks name it.
  @unsafe public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    unsafe UnownedTaskExecutor(ordinary: self)
  }

  /// Whether the calling thread is the executor's: what is on it is isolated to its actors, also
  /// outside any task. `assumeIsolated` asks this.
  public func isIsolatingCurrentContext() -> Bool? { isCurrentThread }

  /// Traps unless the calling thread is the executor's; the runtime's assertions of isolation call
  /// it.
  public func checkIsolated() {
    precondition(isCurrentThread, "not on the thread of \(self)")
  }
}

extension SingleThreadExecutor: CustomStringConvertible {
  /// `SingleThreadExecutor "rx0" on processor 1`
  public var description: String { "SingleThreadExecutor \"\(name)\"\(placement.text)" }
}

extension SingleThreadExecutor.Placement {
  /// What follows the noun: " on processor 1".
  var text: String {
    switch self {
    case .anywhere: ""
    case .processor(let number): " on processor \(number)"
    case .node(let number): " on NUMA node \(number)"
    }
  }
}
