// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims
internal import Synchronization

/// The one seam of the package's tests: makes the N-th call of a given name on this thread fail
/// with a chosen errno, counts the calls, has base pages of another size,
/// or answers instead of netlink.
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
    var pageByteCount: Int?
    var answerNetlink: ((_ request: [UInt8], _ port: UInt32) -> [[UInt8]])?
    var netlinkAnswers: [[UInt8]] = []
  }

  // MARK: Calls of other modules' shims

  /// Makes a call of another module's shims, which answers `>= 0` or `-errno`, through the seam. As
  /// in this module EINTR is retried.
  @discardableResult
  package static func perform(
    _ call: SystemCall, _ body: () -> Int32
  ) throws(Errno) -> Int {
    while true {
      let error: Errno
      if let forced = forced(call) {
        error = forced
      } else {
        let result = body()
        if result >= 0 { return Int(result) }
        error = Errno(rawValue: 0 - result)
      }
      if error != .EINTR { throw error }
    }
  }

  /// The same for what the kernel lets go whatever it answers: made even when an errno is forced,
  /// never retried, and nobody is told.
  package static func performReleasing(_ call: SystemCall, _ body: () -> Int32) {
    _ = forced(call)
    _ = body()
  }

  // MARK: What tests do

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

  /// Runs `body`; on this thread the kernel's base pages are of so many bytes, and memory files
  /// made of them say so (`f_bsize`). Larger ones than the kernel's alone: what is asked of the
  /// kernel is then a multiple of its own, too.
  package static func pretending<Result: ~Copyable, Failure: Error>(
    basePageByteCount: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(basePageByteCount.nonzeroBitCount == 1, "a power of two")
    let script = Script()
    script.pageByteCount = basePageByteCount
    return try run(script, body)
  }

  /// Runs `body`; on this thread netlink requests do not reach the kernel.
  ///
  /// - Parameter answer: the datagrams that come instead of the kernel's, for the bytes of a
  ///   request from the socket of that address (`nl_pid`). When they are read, nothing more comes.
  package static func answeringNetlink<Result: ~Copyable, Failure: Error>(
    _ answer: @escaping (_ request: [UInt8], _ port: UInt32) -> [[UInt8]],
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let script = Script()
    script.answerNetlink = answer
    return try run(script, body)
  }

  /// Whether a netlink request was answered by a test.
  static func answersNetlink(_ request: [UInt8], _ port: UInt32) -> Bool {
    if armedThreadCount.load(ordering: .relaxed) == 0 { return false }
    guard let script = current, let answer = script.answerNetlink else { return false }
    script.netlinkAnswers = answer(request, port)
    return true
  }

  /// The next datagram of a test; nil where the kernel's are to be read.
  ///
  /// - Throws: `EAGAIN` when there is none: what a socket says whose time limit has passed.
  static func netlinkAnswer() throws(Errno) -> [UInt8]? {
    if armedThreadCount.load(ordering: .relaxed) == 0 { return nil }
    guard let script = current, script.answerNetlink != nil else { return nil }
    guard !script.netlinkAnswers.isEmpty else { throw .EAGAIN }
    return script.netlinkAnswers.removeFirst()
  }

  /// What is pretended on this thread.
  static var basePageByteCount: Int? {
    if armedThreadCount.load(ordering: .relaxed) == 0 { return nil }
    return current?.pageByteCount
  }

  private static var current: Script? {
    guard let pointer = unsafe csystem_seam_get() else { return nil }
    return unsafe Unmanaged<Script>.fromOpaque(pointer).takeUnretainedValue()
  }

  private static func run<Result: ~Copyable, Failure: Error>(
    _ script: Script, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let outer = unsafe csystem_seam_get()
    // A call is forced, or counted, where pages are pretended.
    script.pageByteCount = script.pageByteCount ?? current?.pageByteCount
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
    guard let script = current else { return nil }
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
