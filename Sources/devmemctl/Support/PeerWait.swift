// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Waits for another process, which may have been stopped or be busy: says so after a while, and
/// has a limit.
struct PeerWait: Sendable {
  /// For people: "the importer (process 17)".
  let name: String
  /// Seconds without a word from it; nil for ever.
  let limit: Int?
  /// For how long one waits without a word about it.
  private static let quietSeconds = 5

  /// Waits until a descriptor is ready for one of `events`, or at its end.
  ///
  /// - Parameter isInterruptible: as for ``Interruption``.
  /// - Throws: when the limit is over, or a signal has come.
  func wait(
    for descriptor: Int32, _ events: Int16, isInterruptible: Bool = true
  ) throws(CommandError) {
    try wait { milliseconds throws(CommandError) in
      try Interruption.wait(
        for: descriptor, events, milliseconds: milliseconds, isInterruptible: isInterruptible)
    }
  }

  /// Waits until a child process has ended.
  ///
  /// - Returns: its exit status; for one that was killed, the signal's number + 128; -1 if somebody
  ///   else has it.
  func waitForEnd(of processID: pid_t) throws(CommandError) -> Int32 {
    var result: Int32 = -1
    try wait { milliseconds throws(CommandError) in
      let deadline = Deadline(milliseconds: milliseconds)
      while true {
        var status: Int32 = 0
        let ended = unsafe waitpid(processID, &status, WNOHANG)
        if ended == processID {
          result = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
          return true
        }
        if ended < 0 && errno != EINTR { return true }
        if deadline.milliseconds == 0 { return false }
        usleep(5000)
      }
    }
    return result
  }

  private func wait(
    _ isOver: (_ milliseconds: Int32) throws(CommandError) -> Bool
  ) throws(CommandError) {
    let quiet = min(Self.quietSeconds, limit ?? .max)
    if try isOver(Int32(clamping: quiet * 1000)) { return }
    if limit.map({ $0 > quiet }) ?? true {
      let end = limit.map { " (until it is \($0) s)" } ?? ""
      Terminal.error.noteLine("still waiting for \(name), silent for \(quiet) s\(end)")
      let rest = limit.map { Int32(clamping: ($0 - quiet) * 1000) } ?? -1
      if try isOver(rest) { return }
    }
    throw CommandError(
      "\(name) has said nothing for \(limit ?? quiet) s",
      remedy:
        "If it was stopped, let it go on: kill -CONT; if the machine is busy, give it more time.")
  }
}
