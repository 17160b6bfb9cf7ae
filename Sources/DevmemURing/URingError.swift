// SPDX-License-Identifier: Apache-2.0

internal import Devmem
package import DevmemSystem

/// Why something over io_uring failed: a code to act on, the kernel's errno, what was being done,
/// and the way out.
package struct URingError: Error, Hashable, Sendable, CarriesErrno, CustomStringConvertible {
  /// What went wrong.
  package enum Code: String, CaseIterable, Hashable, Sendable {
    /// The administrator has switched io_uring off (`kernel.io_uring_disabled`).
    case disabled
    /// A filter of system calls, mostly a container's, refuses io_uring.
    case filtered
    /// This kernel has no io_uring, or does not know what was asked of it.
    case kernelUnsupported
    /// Too many open files.
    case descriptorLimit
    /// The kernel has too little memory, or the process may not lock so much (RLIMIT_MEMLOCK).
    case memoryLimit
    /// The CPU cannot write the memory that was to be received into.
    case unwritable
    /// The kernel cannot pin the memory for zero-copy receive: a dma-buf's own mapping.
    case notPinnable
    /// Bytes came that the card had not put into the memory, where the kernel cannot copy them.
    case outsideMemory
    /// The memory is not a dma-buf, which a card is to write to.
    case notADMABuf
    /// Receive buffers of that size are not contiguous in the memory.
    case notContiguous
    /// This user may not do it.
    case permissionDenied
    /// A number of a configuration is out of its range.
    case invalidConfiguration
    /// What another ring shares is not what it should be, or somebody else has written to a ring
    /// that buffers come back by.
    case shareDamaged
    /// The descriptor is not a connected socket.
    case notASocket
    /// The peer, or the path to it, has gone.
    case connectionLost
    /// Another failure; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  package let code: Code
  /// The kernel's answer; nil where we refused before asking it.
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

  // MARK: Translation

  /// `kernel.io_uring_disabled` (Linux 6.6): 0, 1 or 2, nil where there is no such setting.
  static func disabledSetting() -> Int? {
    guard let text = try? SystemFile.text(at: "/proc/sys/kernel/io_uring_disabled") else {
      return nil
    }
    return Int(text.filter(\.isNumber))
  }

  /// Making a ring.
  /// - Parameter disabled: the setting ``disabledSetting()``.
  static func opening(_ errno: Errno, disabled: Int?) -> URingError {
    let operation = "making an io_uring"
    switch (errno, disabled) {
    case (.EPERM, 2?):
      return URingError(
        .disabled, operation, underlying: errno,
        remedy: "io_uring is switched off for everybody: sudo sysctl kernel.io_uring_disabled=0")
    case (.EPERM, 1?):
      return URingError(
        .disabled, operation, underlying: errno,
        remedy: "io_uring is switched off for all but root and the group of"
          + " kernel.io_uring_group: run with sudo, or sudo sysctl kernel.io_uring_disabled=0")
    case (.EPERM, _), (.EACCES, _):
      return URingError(
        .filtered, operation, underlying: errno,
        remedy: "A filter of system calls or a security module refuses io_uring_setup(2), as"
          + " container runtimes' do: run the container with a profile that allows it (docker run"
          + " --security-opt seccomp=FILE), or receive without io_uring.")
    case (.ENOSYS, _):
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "This kernel has no io_uring (CONFIG_IO_URING), or a filter of system calls says"
          + " so: receive without io_uring.")
    default:
      return step(operation, errno)
    }
  }

  /// Lending a group of buffers to the kernel (`IORING_REGISTER_PBUF_RING`).
  static func registeringBuffers(_ errno: Errno) -> URingError {
    let operation = "registering buffers with an io_uring"
    guard errno == .EINVAL else { return step(operation, errno) }
    return URingError(
      .kernelUnsupported, operation, underlying: errno,
      remedy: "The kernel must be Linux 6.1 or newer: receive without io_uring.")
  }

  /// Asking for zero-copy receive (`IORING_REGISTER_QUERY`).
  static func querying(_ errno: Errno) -> URingError {
    let operation = "asking the kernel for zero-copy receive"
    switch errno {
    case .EINVAL, .EOPNOTSUPP:
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "This kernel has no zero-copy receive that can be asked for"
          + " (CONFIG_IO_URING_ZCRX): use provided buffers, which any kernel since Linux 6.1 has.")
    case .EPERM, .EACCES, .ENOSYS:
      let refusal = opening(errno, disabled: disabledSetting())
      return URingError(
        refusal.code, operation, underlying: errno, remedy: refusal.remedy)
    default:
      return step(operation, errno)
    }
  }

  /// Registering memory for zero-copy receive (`IORING_REGISTER_ZCRX_IFQ`).
  static func registeringArea(_ errno: Errno, source: DMABuf.CPUMapping.Source) -> URingError {
    let operation = "registering memory for zero-copy receive"
    switch errno {
    case .EFAULT:
      return URingError(
        .notPinnable, operation, underlying: errno,
        remedy: source == .memoryFile
          ? "The kernel cannot pin this memory."
          : "The kernel cannot pin a dma-buf's own mapping: give it the process's buffer that made"
            + " the dma-buf, whose CPU mapping is of the memory file (DMABuf.udmabuf).")
    case .EPERM, .EACCES:
      return URingError(
        .permissionDenied, operation, underlying: errno,
        remedy: "Run as root, with sudo (CAP_NET_ADMIN), or use provided buffers.")
    case .EINVAL, .EOPNOTSUPP:
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "This kernel takes no memory without a network device (ZCRX_REG_NODEV): use"
          + " provided buffers.")
    default:
      return step(operation, errno)
    }
  }

  /// Bytes that a card has not put into the dma-buf, and that nobody can copy there.
  static func outsideMemory(_ errno: Errno) -> URingError {
    URingError(
      .outsideMemory, "receiving by zero copy", underlying: errno,
      remedy: "The flow has to be steered to the queue before its first byte, and headers to be"
        + " split (NICSetup). Or give the card the CPU mapping, into which such bytes are copied"
        + " (.queue(…, memory: .cpuMapping); devmemctl recv --cpu-mapping).")
  }

  /// Registering memory to send out of (`IORING_REGISTER_BUFFERS`).
  static func registeringMemory(_ errno: Errno, source: DMABuf.CPUMapping.Source) -> URingError {
    let operation = "registering memory with an io_uring"
    guard errno == .EFAULT else { return step(operation, errno) }
    return URingError(
      .notPinnable, operation, underlying: errno,
      remedy: registeringArea(errno, source: source).remedy)
  }

  /// What ended a send.
  static func sending(_ errno: Errno) -> URingError {
    let operation = "sending by io_uring"
    switch errno {
    case .EINVAL, .EOPNOTSUPP:
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "The kernel must be Linux 6.2 or newer, and the socket a TCP socket: send without"
          + " io_uring (HeaderSplitSender).")
    case .EFAULT: return step(operation, errno)
    default:
      let meaning = receiving(errno)
      return URingError(
        meaning.code, operation, underlying: errno, remedy: meaning.remedy)
    }
  }

  /// What ended a receive, or kept it from beginning.
  static func receiving(_ errno: Errno) -> URingError {
    let operation = "receiving by io_uring"
    switch errno {
    case .ECONNRESET, .EPIPE, .ETIMEDOUT, .EHOSTUNREACH, .ENETUNREACH, .ENETDOWN, .ECONNREFUSED:
      return URingError(.connectionLost, operation, underlying: errno)
    case .ENOTCONN, .ENOTSOCK, .EPROTONOSUPPORT:
      return URingError(
        .notASocket, operation, underlying: errno, remedy: "Give it a connected TCP socket.")
    case .EFAULT:
      return URingError(
        .unwritable, operation, underlying: errno,
        remedy: "Give the receiver a pool whose memory the CPU may write: a dma-buf that was"
          + " imported for reading alone cannot be received into.")
    case .EUCLEAN: return sharing(errno)
    case .EINVAL, .EOPNOTSUPP:
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "The kernel must be Linux 6.1 or newer, and the socket a stream: receive without"
          + " io_uring.")
    default:
      return step(operation, errno)
    }
  }

  /// Sharing an instance of zero-copy receive with another ring (`ZCRX_CTRL_EXPORT`,
  /// `ZCRX_REG_IMPORT`).
  static func sharing(_ errno: Errno) -> URingError {
    let operation = "sharing an instance of zero-copy receive"
    switch errno {
    case .EUCLEAN, .EBADF:
      return URingError(
        .shareDamaged, operation, underlying: errno,
        remedy: "Somebody else writes to its memory: share it with programs alone that do as this"
          + " one does, and make it anew.")
    case .EPERM, .EACCES:
      return URingError(
        .permissionDenied, operation, underlying: errno,
        remedy: "Run as root, with sudo (CAP_NET_ADMIN): each ring needs it that receives.")
    case .EINVAL, .EOPNOTSUPP:
      return URingError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "This kernel's instances have one ring each (no ZCRX_REG_IMPORT): receive in one"
          + " thread.")
    case .EBUSY:
      return URingError(
        .invalidConfiguration, operation, underlying: errno,
        remedy: "At most \(ZeroCopyLedger.ringLimit) rings share one: end some.")
    case .ENOENT:
      return URingError(
        .systemCall, operation, underlying: errno,
        remedy: "/proc is not there, by which each ring gets locks of its own: mount it.")
    default: return step(operation, errno)
    }
  }

  /// The kernel has named a buffer that it did not have.
  static let fillingHeld = URingError(
    .shareDamaged, "receiving by zero copy",
    remedy: "The kernel filled a buffer that is held: somebody else writes to the refill ring, or"
      + " the card puts several packets into one buffer, which is not supported.")

  /// Any step: the errnos that mean the same everywhere.
  static func step(_ operation: String, _ errno: Errno) -> URingError {
    switch errno {
    case .EMFILE, .ENFILE:
      URingError(
        .descriptorLimit, operation, underlying: errno,
        remedy: DevmemError.step(operation, errno).remedy)
    case .ENOMEM:
      URingError(
        .memoryLimit, operation, underlying: errno,
        remedy: "Raise the limit of locked memory (ulimit -l unlimited, or LimitMEMLOCK= of a"
          + " systemd unit), ask for fewer buffers, or free memory.")
    default:
      URingError(.systemCall, operation, underlying: errno)
    }
  }

  /// A number of a configuration.
  static func check(
    _ name: String, _ value: Int, in range: ClosedRange<Int>
  ) throws(URingError) {
    guard !range.contains(value) else { return }
    throw URingError(
      .invalidConfiguration, "\(name) \(value)",
      remedy: "Use \(range.lowerBound) to \(range.upperBound).")
  }
}
