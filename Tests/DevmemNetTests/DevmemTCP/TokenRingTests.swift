// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Synchronization
import Testing

@testable import DevmemNet

@Suite("TokenRing")
struct TokenRingTests {
  /// A ring where closures can share it.
  private final class Shared: Sendable {
    let ring: TokenRing
    let owed = Atomic<Int>(0)
    init(capacity: Int) { ring = TokenRing(capacity: capacity) }
  }

  @Test("tokens come out as they went in", arguments: [1, 2, 5, 64])
  func order(capacity: Int) {
    let ring = TokenRing(capacity: capacity)
    var next: UInt32 = 1
    var expected: UInt32 = 1
    for round in 0..<200 {
      for _ in 0..<(round % capacity + 1) {
        _ = ring.push(next)
        next += 1
      }
      while let token = ring.pop() {
        #expect(token == expected)
        expected += 1
      }
      #expect(ring.count == 0 && !ring.hasNext)
    }
    #expect(expected == next)
  }

  @Test("threads that push at once lose no token and double none")
  func threads() {
    let limit = 256
    let perThread = 20_000
    let shared = Shared(capacity: limit)
    let workers = (0..<3).map { _ in Worker() }
    defer { for worker in workers { worker.stop() } }
    for (index, worker) in workers.enumerated() {
      worker.start {
        for step in 0..<perThread {
          // The receiver's promise: never more owed than the ring holds.
          while shared.owed.load(ordering: .acquiring) >= limit - 3 {}
          shared.owed.add(1, ordering: .relaxed)
          _ = shared.ring.push(UInt32(index * perThread + step + 1))
        }
      }
    }
    var seen = [Bool](repeating: false, count: 3 * perThread + 1)
    var lastOfThread = [Int](repeating: -1, count: 3)
    var count = 0
    while count < 3 * perThread {
      guard let token = shared.ring.pop() else { continue }
      shared.owed.subtract(1, ordering: .releasing)
      let index = Int(token)
      #expect(!seen[index])
      seen[index] = true
      let thread = (index - 1) / perThread
      let step = (index - 1) % perThread
      #expect(step > lastOfThread[thread])
      lastOfThread[thread] = step
      count += 1
    }
    #expect(shared.ring.count == 0)
  }
}
