// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemNIC
internal import DevmemSystem

// What errnos mean on a device memory socket (net/ipv4/tcp.c, net/core/devmem.c of Linux 7.3).
extension DevmemError {
  /// Does nothing where a number is in its range.
  static func check(
    _ name: String, _ value: Int, in range: ClosedRange<Int>
  ) throws(DevmemError) {
    guard !range.contains(value) else { return }
    throw DevmemError(
      .invalidConfiguration, "taking \(value) for \(name)",
      remedy: "Choose it from \(range.lowerBound) to \(range.upperBound).")
  }

  /// Asking the kernel whether it would take tokens of this socket.
  static func probing(_ errno: Errno) -> DevmemError {
    let operation = "preparing a socket for device memory TCP"
    switch errno {
    case .EBADF, .EOPNOTSUPP:
      return DevmemError(
        .notTCP, operation, underlying: errno, remedy: "Device memory needs a connected TCP socket."
      )
    case .ENOPROTOOPT:
      return DevmemError(
        .kernelUnsupported, operation, underlying: errno,
        remedy: DevmemError.newerKernelRemedy)
    default: return step(operation, errno)
    }
  }

  /// recvmsg(MSG_SOCK_DEVMEM)
  static func receiving(_ bindingID: UInt32, _ errno: Errno) -> DevmemError {
    let operation = "receiving into dma-buf \(bindingID)"
    switch errno {
    case .ETOOSMALL:
      return DevmemError(
        .systemCall, operation, underlying: errno,
        remedy: "A fragment found no room for its control message; nothing is lost, receive again.")
    case .EFAULT:
      return DevmemError(
        .systemCall, operation, underlying: errno,
        remedy:
          "The host memory for linear bytes cannot be written: populate it, or reserve its huge"
          + " pages.")
    case .ENODEV:
      return DevmemError(
        .systemCall, operation, underlying: errno,
        remedy:
          "The flow reaches a queue with another kind of device memory (io_uring); steer it to"
          + " the queues of this binding.")
    default: return step(operation, errno)
    }
  }

  /// sendmsg with SCM_DEVMEM_DMABUF
  static func sending(_ bindingID: UInt32, _ errno: Errno) -> DevmemError {
    let operation = "sending from dma-buf \(bindingID)"
    switch errno {
    case .EINVAL:
      return DevmemError(
        .notBound, operation, underlying: errno,
        remedy: "The id is not bound for sending, or no longer: keep the NetdevBinding that"
          + " .transmit made as long as the sender.")
    case .ENODEV:
      return DevmemError(
        .wrongDevice, operation, underlying: errno,
        remedy:
          "The route to the peer leaves by another device than the memory is bound to: connect"
          + " with interface:, or bind the memory to the route's device (ip route get ADDRESS).")
    case .EFAULT:
      return DevmemError(
        .foreignMemory, operation, underlying: errno,
        remedy: "An offset lies past the end of the bound dma-buf.")
    default: return step(operation, errno)
    }
  }

  /// Any step: the errnos that mean the same everywhere.
  static func step(_ operation: String, _ errno: Errno) -> DevmemError {
    switch errno {
    case .EPIPE, .ECONNRESET, .ETIMEDOUT, .EHOSTUNREACH, .ENETUNREACH, .ENOTCONN:
      DevmemError(.connectionLost, operation, underlying: errno)
    default: DevmemError(.systemCall, operation, underlying: errno)
    }
  }
}
