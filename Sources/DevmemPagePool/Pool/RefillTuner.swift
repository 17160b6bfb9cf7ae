// SPDX-License-Identifier: Apache-2.0

/// Chooses how many buffers to take from the provider at a time, for pools with
/// `Configuration.tunesRefill`.
///
/// A refill that follows the last one with hardly more allocations than it brought was not big
/// enough for the burst: the next one is twice as large, up to the cache's capacity. A cache that
/// overflows into the provider got more than it uses: the next refill is half as large, down to 8.
/// What comes back over the return queue changes nothing.
struct RefillTuner {
  private var allocationsAtLastRefill: UInt64 = 0
  private var cameFromQueue = false

  /// A smaller refill than a cache line of handles is not worth a call.
  static var smallest: Int { 8 }

  mutating func refilledFromQueue() { cameFromQueue = true }

  /// The size for a refill from the provider.
  /// - Parameter allocations: how many the cache has served so far.
  mutating func refilledFromProvider(
    _ count: Int, allocations: UInt64, capacity: Int
  ) -> Int {
    let served = allocations &- allocationsAtLastRefill
    let isBurst = !cameFromQueue && allocationsAtLastRefill > 0 && served < 2 * UInt64(count)
    allocationsAtLastRefill = allocations
    cameFromQueue = false
    return isBurst ? min(capacity, 2 * count) : count
  }

  /// The size after the cache overflowed into the provider.
  func overflowed(_ count: Int) -> Int { max(min(Self.smallest, count), count / 2) }
}
