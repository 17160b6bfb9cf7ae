// SPDX-License-Identifier: Apache-2.0

import CBenchSupport
import DevmemPagePool

/// How long single allocations take while another thread returns: what a median hides.
public struct AllocationLatency {
  /// Time stamp cycles in a nanosecond, measured.
  public let cyclesPerNanosecond: Double

  /// Compares the time stamp with the clock for a tenth of a second.
  public init() {
    let clock = ContinuousClock()
    let start = clock.now
    let firstCycle = cbench_cycles()
    while clock.now - start < .milliseconds(100) { cbench_pause() }
    let cycles = cbench_cycles() &- firstCycle
    cyclesPerNanosecond = Double(cycles) / ((clock.now - start) / .nanoseconds(1))
  }

  /// Times `count` allocations on the calling thread, each of which another thread returns.
  /// - Parameters:
  ///   - count: how many.
  ///   - record: told the cycles of each, the reading of the counter included.
  /// - Throws: what making the pool throws.
  public func sample(count: Int, record: (_ cycles: UInt64) -> Void) throws {
    let pool = try PagePool.forBench(iovCount: 4096)
    let ring = HandoverRing<Netmem>(capacity: 1024)
    let returner = BenchThread {
      for _ in 0..<count { _ = ring.wait() }
    }
    for _ in 0..<count {
      let start = cbench_cycles()
      let netmem = pool.allocate()
      record(cbench_cycles() &- start)
      // At most 1025 are out, so none can be missing.
      guard let netmem else { preconditionFailure("the pool ran out") }
      ring.push(netmem)
    }
    returner.join()
  }

  /// What reading the counter twice costs by itself, in cycles: the least of many tries.
  public var overheadCycles: UInt64 {
    var least = UInt64.max
    for _ in 0..<10_000 {
      let start = cbench_cycles()
      least = min(least, cbench_cycles() &- start)
    }
    return least
  }
}
