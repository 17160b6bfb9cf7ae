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

  /// A limit as poll(2) takes it: rounded up, at most 24 days, -1 for none.
  package static func milliseconds(_ limit: Duration?) -> Int32 {
    guard let limit else { return -1 }
    let (seconds, attoseconds) = limit.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    guard seconds < 1 << 21 else { return .max }
    return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
