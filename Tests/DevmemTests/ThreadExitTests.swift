// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemTestSupport
import Foundation
import Testing

@Suite("A thread that ends gives its pool up")
struct ThreadExitTests {
  private final class Box: @unchecked Sendable {
    var pool: PagePool?
  }

  /// Runs a closure on a thread of its own and waits until that thread has ended.
  private func onThreadThatEnds(_ body: @escaping @Sendable () -> Void) {
    let thread = Thread { body() }
    thread.start()
    while !thread.isFinished { Thread.sleep(forTimeInterval: 0.001) }
  }

  private func eventually(_ condition: () -> Bool) -> Bool {
    // isFinished is set before the thread's last destructors have run.
    for _ in 0..<5000 {
      if condition() { return true }
      Thread.sleep(forTimeInterval: 0.001)
    }
    return false
  }

  @Test("the pool can be claimed afterwards, with its buffers in order")
  func relinquished() throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box()
    onThreadThatEnds {
      box.pool = try? PagePool(provider: provider)
      box.pool?.relinquishAtThreadExit()
      _ = box.pool?.canAllocate()
    }
    let pool = try #require(box.pool)
    #expect(eventually { (try? pool.claim()) != nil })
    #expect(pool.canAllocate())
    #expect(pool.inFlight.held == 0)
  }

  @Test("a pool that was handed over before the end stays with its new owner")
  func handedOver() throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box()
    onThreadThatEnds {
      box.pool = try? PagePool(provider: provider)
      box.pool?.relinquishAtThreadExit()
      box.pool?.relinquish()
    }
    let pool = try #require(box.pool)
    try pool.claim()
    #expect(pool.isOwnedByCurrentThread)
    #expect(pool.canAllocate())
  }

  @Test("asking on another thread traps")
  func foreign() async {
    await #expect(processExitsWith: .failure) {
      let pool = try PagePool(provider: ListProvider(iovCount: 8))
      let worker = Worker()
      worker.run { pool.relinquishAtThreadExit() }
    }
  }
}
