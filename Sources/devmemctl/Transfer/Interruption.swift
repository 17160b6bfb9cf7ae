// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// SIGINT and SIGTERM as something that a loop asks about: settings of a network card are put back before
/// the process ends.
enum Interruption {
  private static let signal = Atomic<Int32>(0)

  /// From now on the two signals are noted, and end nothing by themselves; a second one does.
  static func observe() {
    for number in [SIGINT, SIGTERM] {
      var action = sigaction()
      unsafe action.__sigaction_handler.sa_handler = { number in
        Interruption.signal.store(number, ordering: .relaxed)
      }
      action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
      unsafe sigaction(number, &action, nil)
    }
  }

  /// Throws once a signal has come.
  static func check() throws(CommandError) {
    let number = signal.load(ordering: .relaxed)
    guard number == 0 else {
      throw CommandError(number == SIGINT ? "interrupted" : "terminated")
    }
  }
}
