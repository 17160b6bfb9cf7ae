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
  public var text: String {
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
  public static let EPERM = Errno(rawValue: Glibc.EPERM)
  /// No such file or directory.
  public static let ENOENT = Errno(rawValue: Glibc.ENOENT)
  /// Interrupted system call. Retried inside this module: callers never see it.
  public static let EINTR = Errno(rawValue: Glibc.EINTR)
  /// Input/output error.
  public static let EIO = Errno(rawValue: Glibc.EIO)
  /// No such device or address.
  public static let ENXIO = Errno(rawValue: Glibc.ENXIO)
  /// Bad file descriptor: a bug of ours, so it traps.
  public static let EBADF = Errno(rawValue: Glibc.EBADF)
  /// Resource temporarily unavailable.
  public static let EAGAIN = Errno(rawValue: Glibc.EAGAIN)
  /// Out of memory.
  public static let ENOMEM = Errno(rawValue: Glibc.ENOMEM)
  /// Permission denied.
  public static let EACCES = Errno(rawValue: Glibc.EACCES)
  /// Bad address: memory that cannot be touched or pinned.
  public static let EFAULT = Errno(rawValue: Glibc.EFAULT)
  /// Device or resource busy.
  public static let EBUSY = Errno(rawValue: Glibc.EBUSY)
  /// File exists.
  public static let EEXIST = Errno(rawValue: Glibc.EEXIST)
  /// No such device.
  public static let ENODEV = Errno(rawValue: Glibc.ENODEV)
  /// Not a directory.
  public static let ENOTDIR = Errno(rawValue: Glibc.ENOTDIR)
  /// Invalid argument.
  public static let EINVAL = Errno(rawValue: Glibc.EINVAL)
  /// Too many open files in the system.
  public static let ENFILE = Errno(rawValue: Glibc.ENFILE)
  /// Too many open files.
  public static let EMFILE = Errno(rawValue: Glibc.EMFILE)
  /// The descriptor does not know this ioctl.
  public static let ENOTTY = Errno(rawValue: Glibc.ENOTTY)
  /// No space left on device.
  public static let ENOSPC = Errno(rawValue: Glibc.ENOSPC)
  /// Illegal seek.
  public static let ESPIPE = Errno(rawValue: Glibc.ESPIPE)
  /// Broken pipe.
  public static let EPIPE = Errno(rawValue: Glibc.EPIPE)
  /// Result too large.
  public static let ERANGE = Errno(rawValue: Glibc.ERANGE)
  /// File name too long.
  public static let ENAMETOOLONG = Errno(rawValue: Glibc.ENAMETOOLONG)
  /// Function not implemented.
  public static let ENOSYS = Errno(rawValue: Glibc.ENOSYS)
  /// File descriptor in bad state: /dev/udmabuf's answer to a descriptor that is no memory file.
  public static let EBADFD = Errno(rawValue: Glibc.EBADFD)
  /// Message too long: it did not fit what the receiver offered.
  public static let EMSGSIZE = Errno(rawValue: Glibc.EMSGSIZE)
  /// Argument list too long; of a page pool: buffers of another size than its memory's.
  public static let E2BIG = Errno(rawValue: Glibc.E2BIG)
  /// No data available: of bind-rx, that no page pool took the memory.
  public static let ENODATA = Errno(rawValue: Glibc.ENODATA)
  /// Protocol not supported.
  public static let EPROTONOSUPPORT = Errno(rawValue: Glibc.EPROTONOSUPPORT)
  /// Operation not supported.
  public static let EOPNOTSUPP = Errno(rawValue: Glibc.EOPNOTSUPP)
  /// Address family not supported.
  public static let EAFNOSUPPORT = Errno(rawValue: Glibc.EAFNOSUPPORT)
  /// Address already in use.
  public static let EADDRINUSE = Errno(rawValue: Glibc.EADDRINUSE)
  /// Connection reset by peer.
  public static let ECONNRESET = Errno(rawValue: Glibc.ECONNRESET)
  /// Transport endpoint is not connected.
  public static let ENOTCONN = Errno(rawValue: Glibc.ENOTCONN)
  /// No buffer space available.
  public static let ENOBUFS = Errno(rawValue: Glibc.ENOBUFS)
  /// Connection timed out.
  public static let ETIMEDOUT = Errno(rawValue: Glibc.ETIMEDOUT)
  /// Protocol option not available: the kernel does not know it.
  public static let ENOPROTOOPT = Errno(rawValue: Glibc.ENOPROTOOPT)
  /// Cannot assign requested address.
  public static let EADDRNOTAVAIL = Errno(rawValue: Glibc.EADDRNOTAVAIL)
  /// Network is down.
  public static let ENETDOWN = Errno(rawValue: Glibc.ENETDOWN)
  /// Network is unreachable.
  public static let ENETUNREACH = Errno(rawValue: Glibc.ENETUNREACH)
  /// No route to host.
  public static let EHOSTUNREACH = Errno(rawValue: Glibc.EHOSTUNREACH)
  /// Not enough room: a number of the kernel's own (include/linux/errno.h) that device memory TCP
  /// lets out when a received fragment has no room for its control message.
  public static let ETOOSMALL = Errno(rawValue: 525)
  /// Connection refused.
  public static let ECONNREFUSED = Errno(rawValue: Glibc.ECONNREFUSED)
  /// The quota of the file system is used up.
  public static let EDQUOT = Errno(rawValue: Glibc.EDQUOT)
  /// The file would get larger than it may.
  public static let EFBIG = Errno(rawValue: Glibc.EFBIG)
  /// Memory page has a hardware error.
  public static let EHWPOISON = Errno(rawValue: Glibc.EHWPOISON)
}
