// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemBench

@Suite("HandoverRing")
struct HandoverRingTests {
  @Test("what one thread gives, another takes in the same order")
  func order() {
    let ring = HandoverRing<Int>(capacity: 4)
    let giver = BenchThread { for number in 0..<10_000 { ring.push(number) } }
    var taken: [Int] = []
    while taken.count < 10_000 { taken.append(ring.wait()) }
    giver.join()
    #expect(taken == Array(0..<10_000))
    #expect(ring.pop() == nil)
  }

  @Test("a full ring says that it is")
  func full() {
    let ring = HandoverRing<Int>(capacity: 2)
    #expect(ring.hasRoom)
    ring.push(1)
    ring.push(2)
    #expect(!ring.hasRoom)
    #expect(ring.pop() == 1)
    #expect(ring.hasRoom)
  }
}
