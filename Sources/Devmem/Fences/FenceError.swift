// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// Why a wait for a device, or what belongs to it, failed: a code to act on, the kernel's errno,
/// what was being done, and the way out. Whatever is thrown, no descriptor and no buffer is lost.
package struct FenceError: Error, Hashable, Sendable, CarriesErrno, CustomStringConvertible {
  /// What went wrong.
  package enum Code: String, CaseIterable, Hashable, Sendable {
    /// The descriptor is not a sync file.
    case notASyncFile
    /// The buffer is a bare memory file, which no device can have fences on.
    case notADMABuf
    /// The fence had not signalled when the time was up. The device may still use the memory.
    case timedOut
    /// The task was cancelled before the fence signalled. The device may still use the memory.
    case cancelled
    /// The device ended with an error; see `underlying`. It uses the memory no more, but what is in
    /// there may be anything.
    case failed
    /// This kernel does not know sync files of dma-bufs.
    case kernelUnsupported
    /// Too many open files, or too many that are watched.
    case descriptorLimit
    /// Another failure; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  package let code: Code
  /// The kernel's answer, or the error that the device ended with; nil where we refused before
  /// asking.
  package let underlying: Errno?
  /// What was being done.
  package let operation: String
  /// The way out, as a command where there is one; nil where there is none.
  package let remedy: String?

  init(_ code: Code, _ operation: String, underlying: Errno? = nil, remedy: String? = nil) {
    self.code = code
    self.underlying = underlying
    self.operation = operation
    self.remedy = remedy
  }

  package var carriedErrno: Errno? { underlying }

  /// One line: operation, code, errno and the remedy.
  package var description: String { line(operation, code: code.rawValue, remedy: remedy) }
}

extension FenceError {
  /// The time was up.
  static func timedOut(_ operation: String) -> FenceError {
    FenceError(
      .timedOut, operation,
      remedy: "Wait longer, or find the device's job that does not end; until then its memory must"
        + " not be used for anything else.")
  }

  /// What a bare memory file is told.
  static func notADMABuf(_ operation: String) -> FenceError {
    FenceError(
      .notADMABuf, operation,
      remedy: "Use a dma-buf (DMABuf.udmabuf): a memory file has no fences.")
  }

  /// Asking a descriptor how far its fence is.
  static func asking(_ errno: Errno) -> FenceError {
    let operation = "asking a sync file for its status"
    switch errno {
    case .ENOTTY, .EBADF, .EINVAL, .EOPNOTSUPP, .ENOSYS:
      return FenceError(
        .notASyncFile, operation, underlying: errno,
        remedy: "Pass the descriptor of a sync file: DMABuf.fence(for:), or what the device's"
          + " interface exports as one (Vulkan: VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT).")
    default: return step(operation, errno)
    }
  }

  /// Taking fences out of a dma-buf, or adding one.
  static func exchanging(_ operation: String, _ errno: Errno) -> FenceError {
    switch errno {
    case .ENOTTY:
      FenceError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "The kernel must be Linux 6.0 or newer: wait on the buffer instead"
          + " (DMABuf.waitUntilReady).")
    default: step(operation, errno)
    }
  }

  /// Any step: the errnos that mean the same everywhere.
  static func step(_ operation: String, _ errno: Errno) -> FenceError {
    switch errno {
    case .EMFILE, .ENFILE:
      FenceError(
        .descriptorLimit, operation, underlying: errno,
        remedy: DevmemError.step(operation, errno).remedy)
    case .ENOSPC:
      FenceError(
        .descriptorLimit, operation, underlying: errno,
        remedy: "Raise the limit: echo 1048576 | sudo tee /proc/sys/fs/epoll/max_user_watches")
    default: FenceError(.systemCall, operation, underlying: errno)
    }
  }

  static func wrapping<Result: ~Copyable>(
    _ translate: (Errno) -> FenceError, _ body: () throws(Errno) -> Result
  ) throws(FenceError) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw translate(error)
    }
  }
}
