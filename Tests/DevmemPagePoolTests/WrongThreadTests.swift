// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import DevmemTestSupport
import Testing

/// Programs that bring a pool to a wrong thread where the compiler cannot see it: each traps, and
/// standard error says what to do. What the compiler can see is in Tests/Misuse.
@Suite("The wrong thread")
struct WrongThreadTests {
  /// Silences the compiler.
  private final class Smuggled: @unchecked Sendable {
    let pool: PagePool
    init() throws { pool = try PagePool(provider: ListProvider(iovCount: 64)) }
  }

  /// The way out that every one of these traps names.
  private static func expectWayOut(_ result: ExitTest.Result?, _ what: String) {
    // nil: the expectation itself has failed, and said so.
    guard let result else { return }
    let text = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(text.contains("PagePool: \(what) on a thread that does not own the pool"))
    #expect(text.contains("relinquish() there and claim() here"))
    #expect(text.contains("an actor on a SingleThreadExecutor"))
  }

  @Test("one buffer")
  func allocation() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      Worker().run { _ = smuggled.pool.allocate() }
    }
    Self.expectWayOut(result, "allocation")
  }

  @Test("a batch")
  func batch() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      Worker().run { _ = smuggled.pool.allocateBatch(8) }
    }
    Self.expectWayOut(result, "allocation")
  }

  @Test("a fragment")
  func fragment() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      Worker().run { _ = smuggled.pool.allocateFragment(byteCount: 64) }
    }
    Self.expectWayOut(result, "allocation")
  }

  @Test("the node")
  func node() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      Worker().run { smuggled.pool.node = 0 }
    }
    Self.expectWayOut(result, "a change of the node")
  }

  @Test("handing the pool over")
  func relinquishing() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      Worker().run { _ = smuggled.pool.relinquish() }
    }
    Self.expectWayOut(result, "relinquish()")
  }

  @Test("what is left of a pool that was handed over")
  func afterRelinquishing() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      let right = smuggled.pool.relinquish()
      _ = smuggled.pool.allocate()
      _ = right.claim()
    }
    Self.expectWayOut(result, "allocation")
  }

  @Test("a task that went on on another thread after an await")
  func afterAwait() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let smuggled = try Smuggled()
      let elsewhere = PoolThread.shared.executor
      await withTaskExecutorPreference(elsewhere) {
        await Self.allocate(smuggled)
      }
    }
    Self.expectWayOut(result, "allocation")
  }

  @concurrent
  private static func allocate(_ smuggled: Smuggled) async { _ = smuggled.pool.allocate() }

  @Test("waiting for a buffer of another thread's pool is an error, which says the same")
  func waiting() async throws {
    let smuggled = try Smuggled()
    let elsewhere = PoolThread.shared.executor
    await #expect(throws: PagePoolError.ownedByAnotherThread) {
      try await withTaskExecutorPreference(elsewhere) {
        try await Self.wait(smuggled)
      }
    }
    #expect("\(PagePoolError.ownedByAnotherThread)".contains("relinquish() there and claim() here"))
  }

  @concurrent
  private static func wait(_ smuggled: Smuggled) async throws {
    _ = try await smuggled.pool.allocate(waiting: .seconds(1))
  }
}
