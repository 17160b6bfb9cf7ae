// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc
import Synchronization

/// SIGINT, SIGTERM and SIGHUP as something that loops ask about and waits end with: settings of a
/// network card are put back before the process ends.
enum Interruption {
  private static let signal = Atomic<Int32>(0)
  /// A pipe that the first signal makes readable; -1 before ``observe()``.
  private static let descriptor = Atomic<Int32>(-1)
  private static let writeEnd = Atomic<Int32>(-1)

  /// From now on the signals are noted, and end nothing by themselves; a second one of a kind does.
  /// A hangup that whoever started us ignores (nohup) stays ignored.
  static func observe() throws(CommandError) {
    guard !isObserving else { return }
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else {
      throw CommandError("getting ready for signals", Errno(rawValue: errno))
    }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      // A full pipe says all that there is to say.
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    writeEnd.store(ends[1], ordering: .relaxed)
    descriptor.store(ends[0], ordering: .relaxed)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var action = sigaction()
      unsafe sigaction(number, nil, &action)
      let handler = unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      // SIG_IGN is 1.
      if number == SIGHUP && handler == 1 { continue }
      unsafe action.__sigaction_handler.sa_handler = { number in
        let before = errno
        Interruption.signal.store(number, ordering: .relaxed)
        _ = unsafe write(Interruption.writeEnd.load(ordering: .relaxed), "!", 1)
        errno = before
      }
      action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
      unsafe sigaction(number, &action, nil)
    }
  }

  /// Whether signals are noted.
  static var isObserving: Bool { descriptor.load(ordering: .relaxed) >= 0 }

  /// The signal that has come; nil before.
  static var received: Int32? {
    let number = signal.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// Throws once a signal has come.
  static func check() throws(CommandError) {
    guard let received else { return }
    throw CommandError(received == SIGINT ? "interrupted" : "terminated")
  }

  /// Waits until a descriptor is ready for one of `events`, or at its end.
  ///
  /// - Parameters:
  ///   - milliseconds: how long; -1 for ever.
  ///   - isInterruptible: false goes on waiting after a signal: for putting things back.
  /// - Returns: false if the time was up.
  /// - Throws: once a signal has come, also one from before.
  @discardableResult
  static func wait(
    for descriptor: Int32, _ events: Int16, milliseconds: Int32 = -1, isInterruptible: Bool = true
  ) throws(CommandError) -> Bool {
    let deadline = Deadline(milliseconds: milliseconds)
    let signals = isInterruptible ? self.descriptor.load(ordering: .relaxed) : -1
    var left = milliseconds
    while true {
      var entries = [
        pollfd(fd: descriptor, events: events, revents: 0),
        // A negative number is passed over.
        pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
      ]
      let count = unsafe poll(&entries, 2, left)
      if entries[1].revents != 0 { try check() }
      if count > 0, entries[0].revents != 0 { return true }
      if count < 0 && errno != EINTR {
        throw CommandError("waiting for a descriptor", Errno(rawValue: errno))
      }
      left = deadline.milliseconds
      if count <= 0, milliseconds >= 0, left == 0 { return false }
    }
  }
}
