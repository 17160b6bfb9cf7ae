// SPDX-License-Identifier: Apache-2.0
// An actor that receives and a task group that consumes; the pool's size holds the receiver up.
import Devmem

/// Fills buffers with what comes, on whatever thread it runs, and hands them on as tokens.
actor Receiver {
  private let pool: SharedPagePool
  init(_ pool: SharedPagePool) { self.pool = pool }

  func receive(_ count: Int, _ packets: AsyncStream<NetmemToken>.Continuation) async throws {
    defer { packets.finish() }
    for number in 1...count {
      var buffer = try await pool.allocate(waiting: .seconds(10))
      try buffer.withMutableBytes { $0.storeBytes(of: number, as: Int.self) }
      packets.yield(buffer.detach())
    }
  }
}

let provider = try HostMemoryProvider(byteCount: 64 * 4096)
let pool = try SharedPagePool(provider: provider)
let (packets, continuation) = AsyncStream.makeStream(of: NetmemToken.self)
async let receiving: Void = Receiver(pool).receive(1000, continuation)
var sum = 0
try await withThrowingTaskGroup(of: Int.self) { group in
  for await token in packets {
    group.addTask { try pool.reclaim(token).withBytes { $0.integer(at: 0, as: Int.self) } }
  }
  for try await number in group { sum += number }
}
try await receiving
precondition(sum == 1000 * 1001 / 2 && pool.inFlight.held == 0)
try await pool.close()
print("1000 packets through \(provider.byteCount / pool.iovByteCount) buffers, sum \(sum)")
