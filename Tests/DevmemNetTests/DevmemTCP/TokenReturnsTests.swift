// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Testing

@testable import DevmemNet

/// When tokens go back, and what happens if the kernel refuses. Every call is forced to fail, so
/// that no kernel has to know device memory; the device tier shows the rest.
@Suite("TokenReturns")
struct TokenReturnsTests {
  private static func make(limit: Int) throws -> TokenReturns {
    let listener = try TCPSocket.listen()
    let client = try TCPSocket.connect(port: listener.port)
    return TokenReturns(socket: try client.descriptor.duplicate(), buffer: nil, limit: limit)
  }

  @Test("tokens that the kernel refuses to take are kept and stay owed")
  func refused() throws {
    let returns = try Self.make(limit: 1000)
    returns.issue(300)
    SystemCallSeam.forcing(.ENOMEM, on: .devmemReturnTokens, times: 1000) {
      for token in 1...300 { returns.end(UInt32(2 * token)) }
      #expect(throws: Errno.ENOMEM) { _ = try returns.flushAll() }
    }
    #expect(returns.owed == 300)
    #expect(returns.counts.freed == 0 && returns.counts.unknown == 0)
    #expect(returns.counts.failedCalls == returns.counts.calls)
  }

  @Test("one by one while urgent, in batches otherwise")
  func batches() throws {
    let returns = try Self.make(limit: 1000)
    returns.issue(64)
    SystemCallSeam.forcing(.ENOMEM, on: .devmemReturnTokens, times: 1000) {
      for token in 1...63 { returns.end(UInt32(token)) }
      #expect(returns.counts.calls == 0)
      #expect(returns.waitingCount == 63)
      returns.end(64)
      #expect(returns.counts.calls == 1)
    }
    let urgent = try Self.make(limit: 1000)
    urgent.issue(3)
    SystemCallSeam.forcing(.ENOMEM, on: .devmemReturnTokens, times: 1000) {
      urgent.end(1)
      #expect(urgent.counts.calls == 0)
      urgent.setUrgent(true)
      #expect(urgent.counts.calls == 1)
      urgent.end(2)
      #expect(urgent.counts.calls == 2)
      urgent.setUrgent(false)
      urgent.end(3)
      #expect(urgent.counts.calls == 2)
    }
  }

  @Test("a small limit makes small batches: what is owed never waits for company that cannot come")
  func smallLimit() throws {
    let returns = try Self.make(limit: 4)
    returns.issue(1)
    SystemCallSeam.forcing(.ENOMEM, on: .devmemReturnTokens, times: 1000) {
      returns.end(7)
      #expect(returns.counts.calls == 1)
    }
  }

  @Test("a batch takes runs of tokens as one entry, and stops at the kernel's limits")
  func runs() {
    var batch = TokenBatch()
    for token in 1...1024 as ClosedRange<UInt32> {
      #expect(batch.isFull == false)
      batch.append(token)
    }
    #expect(batch.isFull == true)
    var scattered = TokenBatch()
    for token in 1...128 as ClosedRange<UInt32> {
      #expect(scattered.isFull == false)
      scattered.append(2 * token)
    }
    #expect(scattered.isFull == true)
  }
}
