// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims
internal import Synchronization

/// The one seam of the package's tests: makes the N-th call of a given name on this thread fail
/// with a chosen errno, or counts the calls.
///
/// It is there in release builds too. Off, it costs one relaxed load beside a system call. What is
/// forced belongs to the calling thread, so that tests may run side by side; a body that hops
/// threads is not covered on the other thread.
package enum SystemCallSeam {
  /// Threads that are inside `forcing` or `counting`: 0 outside tests.
  private static let armedThreadCount = Atomic<Int>(0)

  /// What one thread is told to do.
  private final class Script {
    var forcedCall: SystemCall?
    var forcedErrno = Errno(rawValue: 0)
    var callsBeforeForcing = 0
    var remainingForcedCount = 0
    var counts: [SystemCall: Int] = [:]
  }

  /// Runs `body`; on this thread, calls number `occurrence` (from 1) up to
  /// `occurrence + times - 1` of `call` are not made but fail with `errno`.
  ///
  /// `close` and `unmap` are made all the same, because the kernel releases whatever it answers.
  package static func forcing<Result: ~Copyable, Failure: Error>(
    _ errno: Errno, on call: SystemCall, occurrence: Int = 1, times: Int = 1,
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(occurrence >= 1 && times >= 1, "occurrences are counted from 1")
    let script = Script()
    script.forcedCall = call
    script.forcedErrno = errno
    script.callsBeforeForcing = occurrence - 1
    script.remainingForcedCount = times
    return try run(script, body)
  }

  /// Runs `body` and says how often each call was made on this thread.
  package static func counting<Failure: Error>(
    _ body: () throws(Failure) -> Void
  ) throws(Failure) -> [SystemCall: Int] {
    let script = Script()
    try run(script, body)
    return script.counts
  }

  private static func run<Result: ~Copyable, Failure: Error>(
    _ script: Script, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let outer = unsafe csystem_seam_get()
    unsafe csystem_seam_set(Unmanaged.passUnretained(script).toOpaque())
    armedThreadCount.add(1, ordering: .relaxed)
    defer {
      armedThreadCount.subtract(1, ordering: .relaxed)
      unsafe csystem_seam_set(outer)
      withExtendedLifetime(script) {}
    }
    return try body()
  }

  /// The errno that this call has to fail with, or nil to make it.
  @inline(__always)
  package static func forced(_ call: SystemCall) -> Errno? {
    // Relaxed: a thread sees its own store, and other threads have nothing to see.
    if armedThreadCount.load(ordering: .relaxed) == 0 { return nil }
    return scripted(call)
  }

  @inline(never)
  private static func scripted(_ call: SystemCall) -> Errno? {
    guard let pointer = unsafe csystem_seam_get() else { return nil }
    let script = unsafe Unmanaged<Script>.fromOpaque(pointer).takeUnretainedValue()
    script.counts[call, default: 0] += 1
    guard script.forcedCall == call, script.remainingForcedCount > 0 else { return nil }
    if script.callsBeforeForcing > 0 {
      script.callsBeforeForcing -= 1
      return nil
    }
    script.remainingForcedCount -= 1
    return script.forcedErrno
  }
}
