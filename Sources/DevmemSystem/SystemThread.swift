// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A thread of this process (pthread_create(3)).
///
/// It belongs to whoever has this value. Dropping it on another thread waits until the thread has
/// ended; dropping it on the thread itself lets it end by itself.
package struct SystemThread: ~Copyable, Sendable {
  // SAFETY: a pthread_t that is neither joined nor detached as long as this value exists, so that
  // no other thread can have the same number.
  private let handle: UInt64

  deinit { system_threadRelease(handle) }

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a thread, and keeps it on the given processors.
  ///
  /// `run` is released by the thread, after it has returned.
  /// - Parameter name: what ps(1) and perf(1) show: see ``name(_:)``.
  /// - Throws: `EINVAL` if none of the processors is there and allowed to this process; `EAGAIN` if
  ///   there are as many threads as there may be. No thread is left behind then.
  package init(
    name: String, processors: ProcessorSet, _ run: @escaping @Sendable () -> Void
  ) throws(Errno) {
    let body = unsafe Unmanaged.passRetained(Body(run))
    do throws(Errno) {
      handle = try unsafe processors.words.withUnsafeBufferPointer { words throws(Errno) in
        unsafe try system_threadStart(name, words, context: body.toOpaque()) { context in
          unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
        }
      }
    } catch {
      unsafe body.release()
      throw error
    }
  }

  /// Whether this is the calling thread.
  package var isCurrent: Bool { csystem_thread_is_current(handle) != 0 }

  /// What the kernel keeps of a name: 15 bytes (`TASK_COMM_LEN`, include/linux/sched.h), and no
  /// half character.
  package static func name(_ name: String) -> String {
    var kept = ""
    for scalar in name.unicodeScalars {
      guard scalar != "\0", kept.utf8.count + UTF8.width(scalar) <= 15 else { break }
      kept.unicodeScalars.append(scalar)
    }
    return kept
  }
}
