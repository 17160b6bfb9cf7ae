// SPDX-License-Identifier: Apache-2.0

internal import Devmem
package import DevmemSystem
internal import Foundation
package import Testing

/// Forces errnos on every system call of an operation, one at a time, and compares what the process
/// holds before and after. To be run inside an exit test: see ``ResourceCount``.
public enum ForcedErrnos {
  /// What each call is made to fail with. EINTR among them: it must be retried, not reported.
  package static let errnos: [Errno] = [
    .EINTR, .EPERM, .ENOENT, .EIO, .EAGAIN, .ENOMEM, .EACCES, .EBUSY, .EINVAL, .ENFILE, .EMFILE,
    .ENOSPC, .EOPNOTSUPP,
  ]

  /// One forced failure.
  package struct Case: CustomStringConvertible {
    package let call: SystemCall
    /// Which call of that name, from 1.
    package let occurrence: Int
    package let errno: Errno
    package var description: String { "\(errno.name) on \(call.rawValue) #\(occurrence)" }
  }

  /// Runs `operation` once as it is, then once for each of its system calls and each errno.
  ///
  /// The operation has to fail with that errno, except where the rules of DevmemSystem or
  /// `tolerates` say that it goes on; and it must leave nothing behind, whether it fails or not.
  ///
  /// - Parameter errnos: fewer, where an operation of many calls would take minutes.
  /// - Returns: what was wrong, one line each.
  package static func violations(
    with errnos: [Errno] = errnos, tolerates: (Case) -> Bool = { _ in false },
    of operation: () throws -> Void
  ) throws -> [String] {
    // Twice, because the first run may open what a library keeps open (libnuma).
    try operation()
    let held = try ResourceCount.now()
    let counts = try SystemCallSeam.counting(operation)
    var violations: [String] = []
    func expectUnchanged(_ what: String) throws {
      let now = try ResourceCount.now()
      if now != held { violations.append("\(what): held \(held), then \(now)") }
    }
    try expectUnchanged("without a failure")
    if counts.isEmpty { violations.append("the operation makes no system call") }
    for (call, count) in counts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      for occurrence in 1...count {
        for errno in releases(call) ? [.EINTR, .EIO] : errnos {
          let forced = Case(call: call, occurrence: occurrence, errno: errno)
          let outcome = Result {
            try SystemCallSeam.forcing(errno, on: call, occurrence: occurrence, operation)
          }
          switch outcome {
          case .success:
            if !goesOn(forced) && !tolerates(forced) {
              violations.append("\(forced): not reported")
            }
          case .failure(let error):
            if goesOn(forced) {
              violations.append("\(forced): reported as \(error)")
            } else if errnoOf(error) != errno {
              violations.append("\(forced): reported as something else, \(error)")
            }
          }
          try expectUnchanged("\(forced)")
        }
      }
    }
    record(counts.keys)
    return violations
  }

  /// Writes down which calls were forced, for scripts/forced-calls.sh: a call that no operation of
  /// any test makes would be forced by none.
  private static func record(_ calls: some Sequence<SystemCall>) {
    guard let path = ProcessInfo.processInfo.environment["DEVMEM_FORCED_CALLS"],
      let file = unsafe fopen(path, "a")
    else { return }
    for call in calls { unsafe fputs(call.rawValue + "\n", file) }
    unsafe fclose(file)
  }

  /// What ``printVerdict(with:tolerates:of:)`` prints where nothing was wrong.
  private static let clean = "nothing left behind"

  /// Runs ``violations(with:tolerates:of:)`` and prints them: for the body of an exit test that
  /// observes standard output.
  package static func printVerdict(
    with errnos: [Errno] = errnos, tolerates: (Case) -> Bool = { _ in false },
    of operation: () throws -> Void
  ) {
    do {
      let violations = try violations(with: errnos, tolerates: tolerates, of: operation)
      print(violations.isEmpty ? clean : violations.joined(separator: "\n"))
    } catch {
      print("the operation fails without help: \(error)")
    }
  }

  /// Checks the verdict that an exit test printed; pass what `#expect(processExitsWith:)` returned.
  package static func expectCleanVerdict(
    _ result: ExitTest.Result?, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    // nil: the expectation itself has failed, and said so.
    guard let result else { return }
    let output = String(decoding: result.standardOutputContent, as: UTF8.self)
    #expect(output == clean + "\n", sourceLocation: sourceLocation)
  }

  /// What DevmemSystem promises to survive.
  private static func goesOn(_ forced: Case) -> Bool {
    if releases(forced.call) { return true }
    return switch (forced.call, forced.errno) {
    case (.dmabufSync, .EAGAIN): true
    case (_, .EINTR): true
    // MFD_NOEXEC_SEAL is not known before Linux 6.3: the second try does without.
    case (.memoryFileCreate, .EINVAL): true
    default: false
    }
  }

  /// The kernel lets go whatever it answers, and nobody is told.
  private static func releases(_ call: SystemCall) -> Bool {
    [
      .close, .unmap, .unlockByte, .drmCloseHandle, .netlinkClose, .uringCancel,
      .uringUnregisterBuffers,
    ].contains(call)
  }

  private static func errnoOf(_ error: any Error) -> Errno? {
    (error as? any CarriesErrno)?.carriedErrno
  }
}
