// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemTestSupport
import Foundation
import Testing

@Suite("A thread that ends without handing its pool over")
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

  @Test("the pool can be claimed afterwards, with its buffers in order, and not before")
  func ended() throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box()
    onThreadThatEnds {
      box.pool = try? PagePool(provider: provider)
      _ = box.pool?.canAllocate()
      let remote = box.pool?.remote
      Worker().run {
        #expect(throws: PagePoolError.ownedByAnotherThread) { try remote?.claimFromEndedThread() }
      }
    }
    let pool = try #require(box.pool)
    #expect(eventually { (try? pool.remote.claimFromEndedThread()) != nil })
    #expect(pool.canAllocate())
    #expect(pool.inFlight.held == 0)
  }

  @Test("a pool that was handed over before the end stays with its new owner")
  func handedOver() throws {
    final class Right: @unchecked Sendable {
      var ownership: PagePool.Ownership?
    }
    let provider = try ListProvider(iovCount: 8)
    let right = Right()
    onThreadThatEnds { right.ownership = try? PagePool(provider: provider).relinquish() }
    let ownership = right.ownership.take()!
    let pool = ownership.claim()
    #expect(pool.isOwnedByCurrentThread)
    #expect(pool.canAllocate())
    #expect(throws: PagePoolError.ownedByAnotherThread) { try pool.remote.claimFromEndedThread() }
  }

  @Test("no new thread passes for one that has ended")
  func identitiesAreForEver() throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box()
    onThreadThatEnds { box.pool = try? PagePool(provider: provider) }
    let pool = try #require(box.pool)
    let remote = pool.remote
    for _ in 0..<200 { onThreadThatEnds { #expect(!remote.isOwnedByCurrentThread) } }
  }

  @Test("a pool whose owner has ended closes when its last reference goes, and its last buffer")
  func abandoned() throws {
    let provider = try ListProvider(iovCount: 8)
    let box = Box()
    final class Buffer: @unchecked Sendable { var netmem: Netmem? }
    let buffer = Buffer()
    onThreadThatEnds {
      box.pool = try? PagePool(provider: provider)
      buffer.netmem = box.pool?.allocate()
    }
    box.pool = nil
    #expect(provider.outCount == 1)
    buffer.netmem = nil
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
  }
}
