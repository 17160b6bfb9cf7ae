// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension PagePool {
  /// Two marks for the number of buffers that are held, and what to call when it crosses them: a
  /// way to hold a sender up before the pool is exhausted.
  public struct Watermarks: Sendable {
    /// Which mark was crossed.
    public enum Level: Sendable {
      /// `high` or more buffers are held.
      case high
      /// `low` or fewer are held again.
      case low
    }

    /// Number of held buffers at or below which the pressure is over, 0 or more.
    package var low: Int
    /// Number of held buffers from which on there is pressure; above `low`.
    package var high: Int
    /// Called once at each crossing: `.high` on the thread that allocates, inside the allocation,
    /// up to a refill late; `.low` on the thread whose return crossed the mark. It may return
    /// buffers, close the pool and drop references to it; it must not allocate from the pool or
    /// wait for another thread that uses it.
    package var onCrossing: @Sendable (Level) -> Void

    /// Marks, and what to call at them. A pool is only made with `0 <= low < high`.
    public init(low: Int, high: Int, onCrossing: @escaping @Sendable (Level) -> Void) {
      self.low = low
      self.high = high
      self.onCrossing = onCrossing
    }
  }
}

extension PoolCore {
  /// Looked at when the cache is refilled, so up to a refill late. Inside.
  func checkHighWatermark() {
    guard let marks = configuration.watermarks, !isAboveWatermark.load(ordering: .relaxed),
      inFlight.held >= marks.high
    else { return }
    isAboveWatermark.store(true, ordering: .releasing)
    watchReturns()
    marks.onCrossing(.high)
    // What came back between the two lines above went unattended.
    checkLowWatermark()
  }

  /// Looked at with every return while the pressure lasts. Something
  /// must keep the pool. Any thread.
  func checkLowWatermark() {
    guard let marks = configuration.watermarks, isAboveWatermark.load(ordering: .relaxed),
      inFlight.held <= marks.low
    else { return }
    let (isMine, _) = isAboveWatermark.compareExchange(
      expected: true, desired: false, ordering: .acquiringAndReleasing)
    if isMine { marks.onCrossing(.low) }
  }
}
