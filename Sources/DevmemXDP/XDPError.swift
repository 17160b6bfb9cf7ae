// SPDX-License-Identifier: Apache-2.0

internal import Devmem
package import DevmemSystem

/// Why something over AF_XDP failed: a code to act on, the kernel's errno, what was being done, and
/// the way out.
package struct XDPError: Error, Hashable, Sendable, CarriesErrno, CustomStringConvertible {
  /// What went wrong.
  package enum Code: String, CaseIterable, Hashable, Sendable {
    /// This kernel has no AF_XDP, or does not know what was asked of it.
    case kernelUnsupported
    /// This user may not open such sockets, or not load or attach programs.
    case permissionDenied
    /// There is no interface of that name.
    case interfaceMissing
    /// The interface is down.
    case interfaceDown
    /// The interface has no such queue.
    case queueMissing
    /// Somebody else has the queue: another AF_XDP socket, devmem TCP or io_uring.
    case queueTaken
    /// Another XDP program is attached to the interface.
    case programAttached
    /// The interface's driver cannot do it.
    case interfaceUnsupported
    /// The process may not lock so much memory (RLIMIT_MEMLOCK), or the kernel has too little.
    case memoryLimit
    /// Too many open files.
    case descriptorLimit
    /// The kernel cannot pin the memory: a dma-buf's own mapping.
    case notPinnable
    /// A buffer does not lie in the socket's memory, or not at a chunk's beginning.
    case foreignBuffer
    /// A number of a configuration is out of its range.
    case invalidConfiguration
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

  /// What the kernel would answer with EFAULT.
  static var notPinnable: XDPError {
    XDPError(
      .notPinnable, "registering memory with AF_XDP",
      remedy: "The kernel cannot pin a dma-buf's own mapping: use the buffer of the process that"
        + " made it, whose CPU mapping is its memory file, and may be written.")
  }

  /// Registering memory (`XDP_UMEM_REG`).
  static func registering(_ errno: Errno, byteCount: Int) -> XDPError {
    let operation = "registering \(byteCount) bytes with AF_XDP"
    switch errno {
    case .EFAULT:
      return XDPError(
        .notPinnable, operation, underlying: errno, remedy: notPinnable.remedy)
    case .ENOBUFS:
      return XDPError(
        .memoryLimit, operation, underlying: errno,
        remedy: "The process may not lock so much memory: ulimit -l unlimited, or run with sudo.")
    default:
      return opening(operation, errno)
    }
  }

  /// Opening a socket on a queue.
  static func binding(_ errno: Errno, interface: String, queue: Int) -> XDPError {
    let operation = "opening an AF_XDP socket on queue \(queue) of \(interface)"
    switch errno {
    case .EBUSY:
      return XDPError(
        .queueTaken, operation, underlying: errno,
        remedy: "Another socket has the queue, or its memory: ss --xdp -p shows who; choose"
          + " another queue.")
    case .EINVAL:
      return XDPError(
        .queueMissing, operation, underlying: errno,
        remedy: "The interface has no such queue: ethtool --show-channels \(interface)")
    case .ENODEV, .ENXIO:
      return XDPError(
        .interfaceMissing, operation, underlying: errno, remedy: "ip link shows the interfaces.")
    case .ENETDOWN:
      return XDPError(
        .interfaceDown, operation, underlying: errno, remedy: "sudo ip link set \(interface) up")
    case .EOPNOTSUPP:
      return XDPError(
        .interfaceUnsupported, operation, underlying: errno,
        remedy: "The driver cannot do it without copies, or not with packets of several buffers:"
          + " ask for neither.")
    default:
      return opening(operation, errno)
    }
  }

  /// Loading or attaching the program.
  static func attaching(_ errno: Errno, interface: String) -> XDPError {
    let operation = "attaching an XDP program to \(interface)"
    switch errno {
    case .EBUSY, .EEXIST:
      return XDPError(
        .programAttached, operation, underlying: errno,
        remedy: "Another XDP program is attached, which ip link show \(interface) names; if"
          + " nobody needs it: sudo ip link set \(interface) xdp off")
    case .EPERM, .EACCES:
      return XDPError(
        .permissionDenied, operation, underlying: errno,
        remedy: "Loading programs needs CAP_BPF and CAP_NET_ADMIN, and a seccomp profile or"
          + " security module that allows bpf(2): run with sudo.")
    case .EOPNOTSUPP:
      return XDPError(
        .interfaceUnsupported, operation, underlying: errno,
        remedy: "The driver cannot run programs: attach generically.")
    case .EINVAL:
      return XDPError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "The kernel must be Linux 5.9 or newer (6.6 for packets of several buffers), and"
          + " the interface's MTU small enough for one buffer.")
    default:
      return opening(operation, errno)
    }
  }

  static func opening(_ operation: String, _ errno: Errno) -> XDPError {
    switch errno {
    case .EAFNOSUPPORT, .ENOSYS, .ENOPROTOOPT:
      return XDPError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: "This kernel has no AF_XDP (CONFIG_XDP_SOCKETS).")
    case .EPERM, .EACCES:
      return XDPError(
        .permissionDenied, operation, underlying: errno,
        remedy: "AF_XDP needs CAP_NET_RAW, and CAP_NET_ADMIN for its program: run with sudo.")
    case .ENOMEM, .ENOBUFS:
      return XDPError(
        .memoryLimit, operation, underlying: errno,
        remedy: "Use less memory or shorter rings, or raise the limit: ulimit -l unlimited")
    case .EMFILE, .ENFILE:
      return XDPError(
        .descriptorLimit, operation, underlying: errno,
        remedy: "Too many open files: raise the limit: ulimit -n 4096")
    default:
      return XDPError(.systemCall, operation, underlying: errno)
    }
  }

  static func check(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws(XDPError) {
    guard !range.contains(value) else { return }
    throw XDPError(
      .invalidConfiguration, "\(name) \(value)",
      remedy: "Use \(range.lowerBound) to \(range.upperBound).")
  }

  static func checkPowerOfTwo(
    _ name: String, _ value: Int, in range: ClosedRange<Int>
  ) throws(XDPError) {
    try check(name, value, in: range)
    guard value & (value - 1) == 0 else {
      throw XDPError(.invalidConfiguration, "\(name) \(value)", remedy: "Use a power of two.")
    }
  }
}
