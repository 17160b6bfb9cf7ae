// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims
internal import Glibc

/// A Linux error number: what every call of this module throws.
///
/// Mirrors `errno` of errno(3). The names are the kernel's, so that searching for one finds it.
public struct Errno: Error, RawRepresentable, Hashable, Sendable {
  /// The number, 1 to 4095.
  public let rawValue: Int32

  /// Wraps a number as the kernel gave it.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// The symbolic name, "ENOENT"; "errno 525" for a number that has none.
  public var name: String {
    guard let name = unsafe csystem_errno_name(rawValue) else { return "errno \(rawValue)" }
    return unsafe String(cString: name)
  }

  /// What it means, in English: "No such file or directory".
  package var text: String {
    guard let text = unsafe csystem_errno_text(rawValue) else { return "Unknown error" }
    return unsafe String(cString: text)
  }
}

extension Errno: CustomStringConvertible {
  /// "ENOENT (No such file or directory)".
  public var description: String { "\(name) (\(text))" }
}

// The numbers that this package meets. Others are reached by `init(rawValue:)`.
extension Errno {
  /// Operation not permitted.
  package static let EPERM = Errno(rawValue: Glibc.EPERM)
  /// No such file or directory.
  package static let ENOENT = Errno(rawValue: Glibc.ENOENT)
  /// Interrupted system call. Retried inside this module: callers never see it.
  package static let EINTR = Errno(rawValue: Glibc.EINTR)
  /// Input/output error.
  package static let EIO = Errno(rawValue: Glibc.EIO)
  /// No such device or address.
  package static let ENXIO = Errno(rawValue: Glibc.ENXIO)
  /// Bad file descriptor: a bug of ours, so it traps.
  package static let EBADF = Errno(rawValue: Glibc.EBADF)
  /// Resource temporarily unavailable.
  package static let EAGAIN = Errno(rawValue: Glibc.EAGAIN)
  /// Out of memory.
  package static let ENOMEM = Errno(rawValue: Glibc.ENOMEM)
  /// Permission denied.
  package static let EACCES = Errno(rawValue: Glibc.EACCES)
  /// Bad address: memory that cannot be touched or pinned.
  package static let EFAULT = Errno(rawValue: Glibc.EFAULT)
  /// Device or resource busy.
  package static let EBUSY = Errno(rawValue: Glibc.EBUSY)
  /// Structure needs cleaning: what lies in memory is not what was left there.
  package static let EUCLEAN = Errno(rawValue: Glibc.EUCLEAN)
  /// File exists.
  package static let EEXIST = Errno(rawValue: Glibc.EEXIST)
  /// No such device.
  package static let ENODEV = Errno(rawValue: Glibc.ENODEV)
  /// Not a directory.
  package static let ENOTDIR = Errno(rawValue: Glibc.ENOTDIR)
  /// Invalid argument.
  package static let EINVAL = Errno(rawValue: Glibc.EINVAL)
  /// Too many open files in the system.
  package static let ENFILE = Errno(rawValue: Glibc.ENFILE)
  /// Too many open files.
  package static let EMFILE = Errno(rawValue: Glibc.EMFILE)
  /// The descriptor does not know this ioctl.
  package static let ENOTTY = Errno(rawValue: Glibc.ENOTTY)
  /// No space left on device.
  package static let EROFS = Errno(rawValue: Glibc.EROFS)
  package static let ENOSPC = Errno(rawValue: Glibc.ENOSPC)
  /// Illegal seek.
  package static let ESPIPE = Errno(rawValue: Glibc.ESPIPE)
  /// Broken pipe.
  package static let EPIPE = Errno(rawValue: Glibc.EPIPE)
  /// Result too large.
  package static let ERANGE = Errno(rawValue: Glibc.ERANGE)
  /// File name too long.
  package static let ENAMETOOLONG = Errno(rawValue: Glibc.ENAMETOOLONG)
  /// Function not implemented.
  package static let ENOSYS = Errno(rawValue: Glibc.ENOSYS)
  /// File descriptor in bad state: /dev/udmabuf's answer to a descriptor that is no memory file.
  package static let EBADFD = Errno(rawValue: Glibc.EBADFD)
  /// Message too long: it did not fit what the receiver offered.
  package static let EMSGSIZE = Errno(rawValue: Glibc.EMSGSIZE)
  /// Argument list too long; of a page pool: buffers of another size than its memory's.
  package static let E2BIG = Errno(rawValue: Glibc.E2BIG)
  /// No data available: of bind-rx, that no page pool took the memory.
  package static let ENODATA = Errno(rawValue: Glibc.ENODATA)
  /// Protocol not supported.
  package static let EPROTONOSUPPORT = Errno(rawValue: Glibc.EPROTONOSUPPORT)
  /// Operation not supported.
  package static let EOPNOTSUPP = Errno(rawValue: Glibc.EOPNOTSUPP)
  /// Address family not supported.
  package static let EAFNOSUPPORT = Errno(rawValue: Glibc.EAFNOSUPPORT)
  /// Address already in use.
  package static let EADDRINUSE = Errno(rawValue: Glibc.EADDRINUSE)
  /// Connection reset by peer.
  package static let ECONNRESET = Errno(rawValue: Glibc.ECONNRESET)
  /// Socket operation on non-socket.
  package static let ENOTSOCK = Errno(rawValue: Glibc.ENOTSOCK)
  /// Operation canceled: of a request of an io_uring whose thread has ended.
  package static let ECANCELED = Errno(rawValue: Glibc.ECANCELED)
  /// Transport endpoint is not connected.
  package static let ENOTCONN = Errno(rawValue: Glibc.ENOTCONN)
  /// No buffer space available.
  package static let ENOBUFS = Errno(rawValue: Glibc.ENOBUFS)
  /// Connection timed out.
  package static let ETIMEDOUT = Errno(rawValue: Glibc.ETIMEDOUT)
  /// Protocol option not available: the kernel does not know it.
  package static let ENOPROTOOPT = Errno(rawValue: Glibc.ENOPROTOOPT)
  /// Cannot assign requested address.
  package static let EADDRNOTAVAIL = Errno(rawValue: Glibc.EADDRNOTAVAIL)
  /// Network is down.
  package static let ENETDOWN = Errno(rawValue: Glibc.ENETDOWN)
  /// Network is unreachable.
  package static let ENETUNREACH = Errno(rawValue: Glibc.ENETUNREACH)
  /// No route to host.
  package static let EHOSTUNREACH = Errno(rawValue: Glibc.EHOSTUNREACH)
  /// Not enough room: a number of the kernel's own (include/linux/errno.h) that device memory TCP
  /// lets out when a received fragment has no room for its control message.
  package static let ETOOSMALL = Errno(rawValue: 525)
  /// Connection refused.
  package static let ECONNREFUSED = Errno(rawValue: Glibc.ECONNREFUSED)
  /// The quota of the file system is used up.
  package static let EDQUOT = Errno(rawValue: Glibc.EDQUOT)
  /// The file would get larger than it may.
  package static let EFBIG = Errno(rawValue: Glibc.EFBIG)
  /// Memory page has a hardware error.
  package static let EHWPOISON = Errno(rawValue: Glibc.EHWPOISON)
}
