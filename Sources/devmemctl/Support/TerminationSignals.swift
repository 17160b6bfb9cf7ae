// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The signals that ask a program to end, taken in order instead of ending it on the spot.
enum TerminationSignals {
  /// To be called before other threads are made, which inherit it.
  static func hold() {
    var signals = signals
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
  }

  /// Waits for one of them.
  ///
  /// - Returns: its number.
  static func wait() -> Int32 {
    var signals = signals
    var number: Int32 = 0
    while unsafe sigwait(&signals, &number) != 0 {}
    return number
  }

  private static var signals: sigset_t {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for number in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&signals, number) }
    return signals
  }
}
