// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

@Suite("An executor with one thread")
struct SingleThreadExecutorTests {
  // MARK: - One thread

  @Test("runs everything of an actor on one thread, which bears the name")
  func oneThread() async throws {
    let counter = Counter(executor: try SingleThreadExecutor(name: "ste-one"))
    let thread = await counter.thread()
    for _ in 0..<100 {
      #expect(await counter.increment() == thread)
      await Task.yield()
    }
    #expect(await counter.count == 100)
    #expect(await counter.executor.run { threadName() } == "ste-one")
    #expect(!counter.executor.isCurrentThread)
    #expect(await counter.isOnExecutor())
  }

  @Test("an actor comes back to it after it has waited elsewhere")
  func suspension() async throws {
    let counter = Counter(executor: try SingleThreadExecutor(name: "ste-back"))
    #expect(await counter.threadsAroundSuspensions().count == 1)
  }

  @Test("two actors can share it")
  func shared() async throws {
    let executor = try SingleThreadExecutor(name: "ste-shared")
    let first = Counter(executor: executor)
    let second = Counter(executor: executor)
    #expect(await first.increment() == second.increment())
    #expect(await first.callsSynchronously(second))
  }

  @Test("a task that prefers it stays there, around every suspension")
  func taskPreference() async throws {
    let executor = try SingleThreadExecutor(name: "ste-task")
    let task = Task(executorPreference: executor) { [unowned executor] in
      var isThere = [executor.isCurrentThread]
      await Task.yield()
      isThere.append(executor.isCurrentThread)
      try? await Task.sleep(nanoseconds: 1_000_000)
      isThere.append(executor.isCurrentThread)
      async let child = executor.isCurrentThread
      isThere.append(await child)
      _ = await Elsewhere().thread()
      isThere.append(executor.isCurrentThread)
      return isThere
    }
    #expect(await task.value == [true, true, true, true, true])
    await withTaskExecutorPreference(executor) {
      #expect(threadName() == "ste-task")
    }
  }

  @Test("owns a page pool, in an actor that makes it")
  func pool() async throws {
    let receiver = try await Receiver(provider: ListProvider(iovCount: 8))
    #expect(await receiver.receive() == 8)
  }

  @Test("a name is cut after 15 bytes, and not inside a character")
  func names() async throws {
    let long = try SingleThreadExecutor(name: "0123456789abcdefg")
    #expect(long.name == "0123456789abcde")
    #expect(await long.run { threadName() } == "0123456789abcde")
    let accented = try SingleThreadExecutor(name: "0123456789abcdé")
    #expect(accented.name == "0123456789abcd")
    #expect(await accented.run { threadName() } == "0123456789abcd")
  }

  // MARK: - Isolation

  @Test("assumeIsolated holds on the thread, outside of any method of the actor")
  func assumeIsolated() async throws {
    let counter = Counter(executor: try SingleThreadExecutor(name: "ste-assume"))
    await counter.executor.run { counter.assumeIsolated { $0.count = 7 } }
    #expect(await counter.count == 7)
    #expect(counter.executor.isIsolatingCurrentContext() == false)
    #expect(await counter.executor.run { counter.executor.isIsolatingCurrentContext() } == true)
  }

  @Test("assumeIsolated traps on another thread")
  func assumeIsolatedElsewhere() async {
    await #expect(processExitsWith: .failure) {
      let counter = Counter(executor: try SingleThreadExecutor(name: "ste-assume"))
      Worker().run { counter.assumeIsolated { $0.count = 7 } }
    }
  }

  @Test("checkIsolated traps on another thread")
  func checkIsolatedElsewhere() async {
    await #expect(processExitsWith: .failure) {
      let executor = try SingleThreadExecutor(name: "ste-check")
      Worker().run { executor.checkIsolated() }
    }
  }

  // MARK: - Order

  @Test("jobs run in the order of their arrival, whatever their priority")
  func order() async throws {
    let executor = try SingleThreadExecutor(name: "ste-order")
    let priorities: [TaskPriority] = [.low, .high, .medium, .background]
    let seen = Log()
    let hold = Hold(on: executor)
    let tasks = (0..<1000).map { number in
      Task(executorPreference: executor, priority: priorities[number % 4]) { seen.append(number) }
    }
    hold.open()
    for task in tasks { await task.value }
    #expect(seen.numbers == Array(0..<1000))
  }

  @Test("many threads at once lose no job, and each one's stay in order")
  func manyThreads() async throws {
    let executor = try SingleThreadExecutor(name: "ste-many")
    let threadCount = 8
    let jobCount = 2000
    let seen = Log()
    let finished = DispatchSemaphore(value: 0)
    for thread in 0..<threadCount {
      Thread.detachNewThread {
        for job in 0..<jobCount {
          Task(executorPreference: executor) { seen.append(thread * jobCount + job) }
        }
        finished.signal()
      }
    }
    for _ in 0..<threadCount { waitFor(finished) }
    #expect(eventually { seen.numbers.count == threadCount * jobCount })
    #expect(seen.threadCount == 1)
    for thread in 0..<threadCount {
      let own = seen.numbers.filter { $0 / jobCount == thread }
      #expect(own == Array(thread * jobCount..<(thread + 1) * jobCount))
    }
  }

  // MARK: - The end

  @Test("dropped inside one of its own jobs, it runs what is queued and ends")
  func droppedInside() async throws {
    let box = Box(try SingleThreadExecutor(name: "ste-inside"))
    let seen = Log()
    let hold = Hold(on: try #require(box.executor))
    let dropping = Task(executorPreference: box.executor) {
      box.executor = nil
      seen.append(0)
    }
    let later = (1...100).map { number in
      Task(executorPreference: box.executor) { seen.append(number) }
    }
    hold.open()
    await dropping.value
    for task in later { await task.value }
    #expect(box.executor == nil)
    #expect(seen.numbers == Array(0...100))
    #expect(seen.threadCount == 1)
    #expect(eventually { threadCount(named: "ste-inside") == 0 })
  }

  @Test("dropped on another thread while jobs are queued, it runs them and ends")
  func droppedOutside() async throws {
    let box = Box(try SingleThreadExecutor(name: "ste-outside"))
    let seen = Log()
    let hold = Hold(on: try #require(box.executor))
    for number in 0..<100 {
      Task(executorPreference: box.executor) { seen.append(number) }
    }
    Worker().run { box.executor = nil }
    #expect(seen.numbers.isEmpty)
    #expect(threadCount(named: "ste-outside") == 1)
    hold.open()
    #expect(eventually { threadCount(named: "ste-outside") == 0 })
    #expect(seen.numbers == Array(0..<100))
    #expect(seen.threadCount == 1)
  }

  @Test("a task that waits elsewhere finds it again, although nobody else refers to it")
  func keptByTask() async throws {
    let box = Box(try SingleThreadExecutor(name: "ste-kept"))
    let (signals, signal) = AsyncStream.makeStream(of: Void.self)
    let task = Task(executorPreference: box.executor) {
      var names = [threadName()]
      for await _ in signals { names.append(threadName()) }
      return names
    }
    box.executor = nil
    // Time to end, if it were to.
    try await Task.sleep(nanoseconds: 10_000_000)
    #expect(threadCount(named: "ste-kept") == 1)
    signal.yield()
    signal.finish()
    #expect(await task.value == ["ste-kept", "ste-kept"])
    #expect(eventually { threadCount(named: "ste-kept") == 0 })
  }

  @Test("an actor that alone refers to it takes it along, from inside its own method too")
  func ownedByActor() async throws {
    func use() async throws {
      let counter = Counter(executor: try SingleThreadExecutor(name: "ste-owned"))
      _ = await counter.increment()
    }
    for _ in 0..<20 { try await use() }
    let last = Task {
      let counter = Counter(executor: try SingleThreadExecutor(name: "ste-owned"))
      return Task { await counter.threadsAroundSuspensions().count }
    }
    #expect(try await last.value.value == 1)
    #expect(eventually { threadCount(named: "ste-owned") == 0 })
  }

  @Test("a thousand made and dropped leave no thread behind")
  func thousand() async throws {
    let before = threadNumbers().count
    let seen = Log()
    for number in 0..<1000 {
      let box = Box(try SingleThreadExecutor(name: "ste-thousand"))
      switch number % 4 {
      case 0: break
      case 1: await box.executor?.run { seen.append(number) }
      case 2: Task(executorPreference: box.executor) { seen.append(number) }
      default:
        Task(executorPreference: box.executor) {
          box.executor = nil
          seen.append(number)
        }
      }
    }
    #expect(eventually { seen.numbers.count == 750 })
    #expect(eventually { threadCount(named: "ste-thousand") == 0 })
    // Those of the runtime's own pools come and go, up to one for each processor.
    #expect(threadNumbers().count < before + 100)
  }

  @Test("a pool that its thread had is free to be claimed once the executor is dropped")
  func threadExit() async throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box(try SingleThreadExecutor(name: "ste-exit"))
    let pool = try await box.executor?.run { try PagePool(provider: provider) }
    let remote = try #require(pool?.remote)
    #expect(throws: PagePoolError.ownedByAnotherThread) { try remote.claimFromEndedThread() }
    box.executor = nil
    try await Self.claimLater(remote)
    withExtendedLifetime(pool) {}
  }

  private nonisolated(nonsending) static func claimLater(_ remote: PagePool.Remote) async throws {
    for _ in 0..<5000 {
      if let pool = try? remote.claimFromEndedThread() {
        #expect(pool.isOwnedByCurrentThread)
        return
      }
      try await Task.sleep(nanoseconds: 1_000_000)
    }
    Issue.record("the pool was never free")
  }

  // MARK: - Idle

  @Test("without jobs its thread sleeps and is not woken")
  func idle() async throws {
    let executor = try SingleThreadExecutor(name: "ste-idle")
    let number = await executor.run { threadNumber() }
    #expect(eventually { threadState(number) == "S" })
    // It may have gone to sleep on the way to sleep, and once more be woken from that.
    var switches: Int?
    for _ in 0..<20 {
      switches = contextSwitches(number)
      #expect(switches != nil)
      try await Task.sleep(nanoseconds: 50_000_000)
      if contextSwitches(number) == switches { break }
    }
    #expect(contextSwitches(number) == switches)
    #expect(await executor.run { true })
    // When it goes to sleep again.
    #expect(eventually { contextSwitches(number) != switches })
  }

  // MARK: - Placement

  @Test("on a processor, it runs on that one alone")
  func processor() async throws {
    for number in try ProcessorSet.ofProcess().numbers {
      let executor = try SingleThreadExecutor(name: "ste-pin", placement: .processor(number))
      #expect(await executor.run { ownProcessors() } == [number])
    }
  }

  @Test("on a node, it runs on the processors of that node")
  func node() async throws {
    let executor = try SingleThreadExecutor(name: "ste-node", placement: .node(0))
    let processors = await executor.run { ownProcessors() }
    #expect(!processors.isEmpty)
    #expect(try Set(processors).isSubset(of: ProcessorSet.of(NUMANode(0)).numbers))
  }

  @Test("anywhere is where the process may run, also when a thread makes it that is kept on fewer")
  func anywhere() async throws {
    let usable = try ProcessorSet.ofProcess().numbers
    let pinned = try SingleThreadExecutor(name: "ste-pin", placement: .processor(usable[0]))
    let executor = try await pinned.run { try SingleThreadExecutor(name: "ste-any") }
    #expect(await executor.run { ownProcessors() } == usable)
  }

  @Test(
    "a place that is not there is refused, with the way out, and leaves no thread behind",
    arguments: [
      (SingleThreadExecutor.Placement.processor(-1), DevmemError.Code.noSuchProcessor),
      (.processor(8191), .noSuchProcessor), (.processor(8192), .noSuchProcessor),
      (.processor(.max), .noSuchProcessor), (.node(-1), .noSuchNode), (.node(4095), .noSuchNode),
      (.node(.max), .noSuchNode),
    ])
  func refused(placement: SingleThreadExecutor.Placement, code: DevmemError.Code) throws {
    let error = #expect(throws: DevmemError.self) {
      try SingleThreadExecutor(name: "ste-refused", placement: placement)
    }
    #expect(error?.code == code)
    #expect(error?.underlying != nil)
    #expect(error?.operation.hasPrefix("starting thread \"ste-refused\" on ") == true)
    let usable = try ProcessorSet.ofProcess()
    #expect(
      error?.remedy?.hasPrefix(
        code == .noSuchNode
          ? "Nodes with processors that this process runs on: "
          : "This process runs on processors \(usable)") == true)
    #expect(eventually { threadCount(named: "ste-refused") == 0 })
  }

  @Test("no more threads is an error of its own")
  func threadLimit() throws {
    let error = #expect(throws: DevmemError.self) {
      try SystemCallSeam.forcing(.EAGAIN, on: .threadStart) {
        try SingleThreadExecutor(name: "ste-limit")
      }
    }
    #expect(error?.code == .threadLimit)
    #expect(error?.remedy?.contains("ulimit -u") == true)
  }

  @Test("making one leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let threads = threadNumbers().count
      ForcedErrnos.printVerdict(tolerates: { $0.call == .threadRelease }) {
        _ = try SingleThreadExecutor(name: "forced", placement: .anywhere)
        _ = try SingleThreadExecutor(name: "forced", placement: .processor(ownProcessors()[0]))
        if NUMANode.isSupported {
          _ = try SingleThreadExecutor(name: "forced", placement: .node(0))
        }
      }
      if !eventually({ threadCount(named: "forced") == 0 && threadNumbers().count <= threads }) {
        print("threads are left behind")
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}

// MARK: - Actors

/// The shortest actor on an executor.
private actor Counter: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  var count = 0

  init(executor: SingleThreadExecutor) { self.executor = executor }

  func increment() -> Int {
    count += 1
    return threadNumber()
  }

  func thread() -> Int { threadNumber() }

  func isOnExecutor() -> Bool { executor.isCurrentThread }

  func threadsAroundSuspensions() async -> Set<Int> {
    var threads: Set<Int> = []
    for _ in 0..<20 {
      threads.insert(threadNumber())
      _ = await Elsewhere().thread()
      await Task.yield()
    }
    return threads
  }

  /// Another actor on the same thread is entered without waiting.
  func callsSynchronously(_ other: Counter) -> Bool { other.assumeIsolated { $0.count } == 1 }
}

/// An actor on the runtime's own threads.
private actor Elsewhere {
  func thread() -> Int { threadNumber() }
}

/// As in the documentation of `SingleThreadActor`.
private actor Receiver: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  private let pool: PagePool

  init(provider: any MemoryProvider) async throws {
    executor = try SingleThreadExecutor(name: "ste-rx")
    pool = try await executor.run { try PagePool(provider: provider) }
  }

  func receive() -> Int {
    var held: [Held] = []
    while let buffer = pool.allocate() { held.append(Held(buffer)) }
    return held.count
  }
}

// MARK: - What the jobs write to

private final class Box: Sendable {
  private let content: Mutex<SingleThreadExecutor?>
  init(_ executor: SingleThreadExecutor) { content = Mutex(executor) }

  var executor: SingleThreadExecutor? {
    get { content.withLock { $0 } }
    // Dropped outside the lock.
    set { _ = content.withLock { old in exchange(&old, newValue) } }
  }

  private func exchange(
    _ old: inout SingleThreadExecutor?, _ new: SingleThreadExecutor?
  ) -> SingleThreadExecutor? {
    let taken = old
    old = new
    return taken
  }
}

/// The numbers that jobs appended, and the threads on which they did.
private final class Log: Sendable {
  private let entries = Mutex<(numbers: [Int], threads: Set<Int>)>(([], []))

  func append(_ number: Int) {
    entries.withLock {
      $0.numbers.append(number)
      $0.threads.insert(threadNumber())
    }
  }

  var numbers: [Int] { entries.withLock { $0.numbers } }
  var threadCount: Int { entries.withLock { $0.threads.count } }
}

/// Keeps an executor's thread in a job until it is opened.
private struct Hold {
  private let gate = DispatchSemaphore(value: 0)

  init(on executor: SingleThreadExecutor) {
    let entered = DispatchSemaphore(value: 0)
    Task(executorPreference: executor) { [gate] in
      entered.signal()
      waitFor(gate)
    }
    entered.wait()
  }

  func open() { gate.signal() }
}

// MARK: - What the kernel says

/// Not to be called with a `wait` that only this thread can end.
private func waitFor(_ semaphore: DispatchSemaphore) { semaphore.wait() }

private func eventually(_ condition: () -> Bool) -> Bool {
  for _ in 0..<10_000 {
    if condition() { return true }
    usleep(1000)
  }
  return false
}

private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

private func threadName() -> String {
  text("/proc/thread-self/comm")?.trimmingCharacters(in: .newlines) ?? ""
}

private func threadNumbers() -> [String] {
  (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
}

private func threadCount(named name: String) -> Int {
  threadNumbers().count { text("/proc/self/task/\($0)/comm") == name + "\n" }
}

private func statusLine(_ thread: Int, _ key: String) -> String? {
  text("/proc/self/task/\(thread)/status")?.split(separator: "\n")
    .first { $0.hasPrefix(key + ":") }
    .map { $0.dropFirst(key.count + 1).trimmingCharacters(in: .whitespaces) }
}

private func threadState(_ thread: Int) -> String? {
  statusLine(thread, "State").map { String($0.prefix(1)) }
}

private func contextSwitches(_ thread: Int) -> Int? {
  statusLine(thread, "voluntary_ctxt_switches").flatMap { Int($0) }
}

/// The calling thread's, as gettid(2) says it, which Swift's Glibc module leaves out.
private func threadNumber() -> Int {
  var target = [UInt8](repeating: 0, count: 64)
  let count = unsafe target.withUnsafeMutableBytes { bytes in
    unsafe readlink(
      "/proc/thread-self", bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
  }
  // "4711/task/4712"
  let path = String(decoding: target.prefix(max(0, count)), as: UTF8.self)
  return path.split(separator: "/").last.flatMap { Int($0) } ?? -1
}

/// The processors that the calling thread may run on, as sched_getaffinity(2) says it: "0-3,8".
private func ownProcessors() -> [Int] {
  (statusLine(threadNumber(), "Cpus_allowed_list") ?? "").split(separator: ",").flatMap { range in
    let ends = range.split(separator: "-").compactMap { Int($0) }
    return Array(ends[0]...ends[ends.count - 1])
  }
}
