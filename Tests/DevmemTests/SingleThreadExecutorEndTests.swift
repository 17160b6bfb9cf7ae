// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Foundation
import Synchronization
import Testing

/// Who keeps an executor alive, and what stays on its thread: attempts to break it with many.
@Suite("Many executors, and many that drop them")
struct SingleThreadExecutorEndTests {
  @Test("ten thousand executors leave no thread behind")
  func tenThousand() throws {
    let ran = Shared(Atomic<Int>(0))
    for number in 0..<10_000 {
      let executor = try SingleThreadExecutor(name: "end-10000")
      // Half of them are dropped while their job may be queued, running or done.
      if number % 2 == 0 {
        Task(executorPreference: executor) { ran.value.add(1, ordering: .relaxed) }
      }
    }
    #expect(eventually { ran.value.load(ordering: .relaxed) == 5000 })
    #expect(eventually { threadCount("end-10000") == 0 })
  }

  @Test("its own job drops the last reference while another thread enqueues: nothing is lost")
  func dropAgainstEnqueue() async throws {
    let ran = Shared(Atomic<Int>(0))
    var enqueued = 0
    for _ in 0..<500 {
      let box = Shared(Mutex<SingleThreadExecutor?>(try SingleThreadExecutor(name: "end-own")))
      let first = Task(executorPreference: box.value.withLock { $0 }) {
        box.value.withLock { $0 = nil }
        ran.value.add(1, ordering: .relaxed)
      }
      enqueued += 1
      // This one may come too late to find the executor.
      if let executor = box.value.withLock({ $0 }) {
        Task(executorPreference: executor) {
          await Task.yield()
          ran.value.add(1, ordering: .relaxed)
        }
        enqueued += 1
      }
      await first.value
    }
    #expect(eventually { ran.value.load(ordering: .relaxed) == enqueued })
    #expect(eventually { threadCount("end-own") == 0 })
  }

  @Test("references dropped on many threads at once end the thread once")
  func dropRace() throws {
    let ran = Shared(Atomic<Int>(0))
    for _ in 0..<200 {
      let executor = try SingleThreadExecutor(name: "end-race")
      for _ in 0..<4 {
        Thread.detachNewThread {
          Task(executorPreference: executor) { ran.value.add(1, ordering: .relaxed) }
        }
      }
    }
    #expect(eventually { ran.value.load(ordering: .relaxed) == 800 })
    #expect(eventually { threadCount("end-race") == 0 })
  }

  @Test("an actor's deinit runs on its thread, which ends after it")
  func isolatedDeinit() async throws {
    let ended = Shared(Atomic<Int>(0))
    for number in 0..<500 {
      let owner = try Owner(ended)
      if number % 2 == 0 { await owner.touch() } else { Task { await owner.touch() } }
    }
    #expect(eventually { ended.value.load(ordering: .relaxed) == 500 })
    #expect(eventually { threadCount("end-owner") == 0 })
  }

  @Test("an executor can be made and dropped on the thread of another")
  func nested() async throws {
    let outer = try SingleThreadExecutor(name: "end-outer")
    for _ in 0..<200 {
      let name = try await outer.run { try SingleThreadExecutor(name: "end-inner").name }
      #expect(name == "end-inner")
    }
    #expect(eventually { threadCount("end-inner") == 0 })
    #expect(threadCount("end-outer") == 1)
  }

  @Test("children of a task, functions of nobody's and the runtime's own actors stay there too")
  func everythingStays() async throws {
    let executor = try SingleThreadExecutor(name: "end-stay")
    let other = Other()
    @Sendable @concurrent func nobodys() async -> Bool {
      let before = executor.isCurrentThread
      try? await Task.sleep(for: .milliseconds(1))
      await Task.yield()
      return before && executor.isCurrentThread
    }
    @Sendable func everything() async -> [Bool] {
      async let child = nobodys()
      let grandchildren = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<10 { group.addTask { await nobodys() } }
        return await group.reduce(true) { $0 && $1 }
      }
      return await [nobodys(), child, grandchildren, other.isOn(executor)]
    }
    let inTask = await Task(executorPreference: executor) { await everything() }.value
    #expect(inTask == [true, true, true, true])
    let preferred = await withTaskExecutorPreference(executor) { await everything() }
    #expect(preferred == [true, true, true, true])
    #expect(await !nobodys())
  }

  @Test("a thousand failures to make one leave no thread behind")
  func failures() async {
    await #expect(processExitsWith: .success) {
      let before = (try? SystemFile.names(in: "/proc/self/task").count) ?? 0
      for _ in 0..<1000 {
        do throws(DevmemError) {
          _ = try SingleThreadExecutor(name: "none", placement: .processor(8191))
          preconditionFailure("it was made")
        } catch {}
      }
      // The process may have started a few of its own since.
      precondition(
        eventually { (try? SystemFile.names(in: "/proc/self/task").count) ?? 0 <= before + 16 },
        "threads are left")
    }
  }
}

private actor Owner: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  private let ended: Shared<Atomic<Int>>

  init(_ ended: Shared<Atomic<Int>>) throws {
    executor = try SingleThreadExecutor(name: "end-owner")
    self.ended = ended
  }

  func touch() async { await Task.yield() }

  isolated deinit {
    if executor.isCurrentThread { ended.value.add(1, ordering: .relaxed) }
  }
}

/// An actor without an executor of its own: it follows the task's.
private actor Other {
  func isOn(_ executor: SingleThreadExecutor) async -> Bool {
    let before = executor.isCurrentThread
    await Task.yield()
    return before && executor.isCurrentThread
  }
}

/// Something that several closures refer to.
private final class Shared<Value: ~Copyable & Sendable>: Sendable {
  let value: Value
  init(_ value: consuming Value) { self.value = value }
}

/// Threads of this process that bear a name.
private func threadCount(_ name: String) -> Int {
  let numbers = (try? SystemFile.names(in: "/proc/self/task")) ?? []
  return numbers.count {
    (try? SystemFile.text(at: "/proc/self/task/\($0)/comm")) == name + "\n"
  }
}

private func eventually(_ condition: () -> Bool) -> Bool {
  for _ in 0..<5000 {
    if condition() { return true }
    Thread.sleep(forTimeInterval: 0.002)
  }
  return false
}
