// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Sizes that the design promises")
struct LayoutTests {
  @Test("an IOV's record is 32 bytes, two to a cache line")
  func record() {
    #expect(MemoryLayout<NetIOV>.size == 32)
    #expect(MemoryLayout<NetIOV>.stride == 32)
  }

  @Test("a handle is one word, and so is an optional one and a token")
  func handle() {
    #expect(MemoryLayout<Netmem>.size == 8)
    #expect(MemoryLayout<Netmem?>.size == 8)
    #expect(MemoryLayout<NetmemToken>.size == 8)
    #expect(MemoryLayout<RecordReference>.size == 8)
    #expect(MemoryLayout<NetIOVReference>.size == 4)
  }

  @Test("the owner's words and the return queue are on different pairs of cache lines")
  func lines() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let state = unsafe UInt(bitPattern: pool.state)
    #expect(state % 128 == 0)
    let owner =
      unsafe withUnsafePointer(to: pool.state.pointee.owner) { UInt(bitPattern: $0) } - state
    let queue =
      unsafe withUnsafePointer(to: pool.state.pointee.queue) { UInt(bitPattern: $0) } - state
    let counters =
      unsafe withUnsafePointer(to: pool.state.pointee.counters) {
        UInt(bitPattern: $0)
      } - state
    #expect(owner >= counters + UInt(MemoryLayout<PagePool.State.Counters>.size) + 128)
    #expect(queue >= owner + 128)
  }
}
