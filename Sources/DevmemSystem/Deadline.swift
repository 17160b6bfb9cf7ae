// SPDX-License-Identifier: Apache-2.0

/// A moment before which a wait has to end, however often a signal or an event that is of no
/// interest interrupts it: poll(2) alone would begin anew.
package struct Deadline: Sendable {
  /// Nil: never.
  private let moment: SuspendingClock.Instant?

  /// - Parameter milliseconds: from now; below 0 for never.
  package init(milliseconds: Int32) {
    moment = milliseconds < 0 ? nil : SuspendingClock.now.advanced(by: .milliseconds(milliseconds))
  }

  /// What is left, for poll(2): rounded up, 0 once the moment has come, -1 for ever.
  package var milliseconds: Int32 {
    guard let moment else { return -1 }
    let left = SuspendingClock.now.duration(to: moment).components
    guard left.seconds >= 0, left.attoseconds > 0 || left.seconds > 0 else { return 0 }
    return Int32(
      clamping: left.seconds * 1000 + (left.attoseconds + 999_999_999_999_999)
        / 1_000_000_000_000_000)
  }
}
