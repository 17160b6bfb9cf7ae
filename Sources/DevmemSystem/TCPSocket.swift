// SPDX-License-Identifier: Apache-2.0

/// A piece of memory for scatter and gather: the layout of `struct iovec`.
@safe package struct IOVector: @unchecked Sendable {
  /// The first byte.
  package var baseAddress: UnsafeMutableRawPointer?
  /// Bytes.
  package var byteCount: Int

  /// Describes a piece of memory, which has to live until the call that uses it is over.
  package init(baseAddress: UnsafeMutableRawPointer?, byteCount: Int) {
    unsafe self.baseAddress = unsafe baseAddress
    self.byteCount = byteCount
  }
}

/// Zero-copy sends number `first` to `last` of a socket no longer use their memory
/// (Documentation/networking/msg_zerocopy.rst). The numbers count calls from 0 and wrap at 2^32.
package struct ZerocopyCompletion: Hashable, Sendable {
  /// The first send that is done.
  package let first: UInt32
  /// The last one.
  package let last: UInt32
  /// The kernel copied after all, as it does on loopback.
  package let isCopied: Bool
}

/// A TCP socket over IPv4 or IPv6: listener or connection.
///
/// It is closed where its last owner lets go of it. What moves bytes takes the descriptor alone,
/// whoever made it (see `OwnedFileDescriptor`): ``takeDescriptor()`` gives it up, so that a
/// connection has one owner from its first byte to its last and nothing is duplicated.
///
/// All members may be called from any thread; sending and receiving are independent of each other.
public struct TCPSocket: ~Copyable, Sendable {
  /// Pieces in one call at most (`UIO_MAXIOV`).
  package static let vectorCountLimit = 1024

  /// The socket's descriptor, close-on-exec.
  public let descriptor: OwnedFileDescriptor
  /// The port a listener is bound to; 0 for a connection.
  public let port: UInt16

  /// Takes over a descriptor that is a connected stream socket.
  package init(_ descriptor: consuming OwnedFileDescriptor, port: UInt16 = 0) {
    self.descriptor = descriptor
    self.port = port
  }

  /// Listens on 127.0.0.1.
  ///
  /// - Parameters:
  ///   - port: 0 lets the kernel choose; ``port`` says which.
  ///   - backlog: connections that may wait to be accepted.
  /// - Throws: `EADDRINUSE`, `EACCES`, `EMFILE`.
  package static func listen(port: UInt16 = 0, backlog: Int = 16) throws(Errno) -> TCPSocket {
    try listen(on: .loopback(port: port), backlog: backlog)
  }

  /// Listens on an address.
  ///
  /// - Parameters:
  ///   - local: where; port 0 lets the kernel choose, and ``port`` says which.
  ///   - interface: takes connections that come in by this network device only
  ///     (`SO_BINDTODEVICE`).
  ///   - backlog: connections that may wait to be accepted.
  /// - Throws: `EINVAL` for what is no numeric address, `EADDRNOTAVAIL`, `EADDRINUSE`, `EACCES`,
  ///   `ENODEV` for an interface that is not there, `EMFILE`.
  public static func listen(
    on local: TCPEndpoint, interface: String? = nil, backlog: Int = 16
  ) throws(Errno) -> TCPSocket {
    let (number, port) = try system_tcpListen(on: local, interface: interface, backlog: backlog)
    return TCPSocket(OwnedFileDescriptor(owning: number), port: port)
  }

  /// Connects to 127.0.0.1.
  ///
  /// - Throws: `ECONNREFUSED`, `ETIMEDOUT`, `EMFILE`.
  package static func connect(port: UInt16) throws(Errno) -> TCPSocket {
    try connect(to: .loopback(port: port))
  }

  /// Connects to an address.
  ///
  /// - Parameters:
  ///   - remote: to where.
  ///   - local: from where; nil lets the route say.
  ///   - interface: leaves by this network device only (`SO_BINDTODEVICE`).
  /// - Throws: `EINVAL` for what is no numeric address, `ECONNREFUSED`, `EHOSTUNREACH`,
  ///   `ENETUNREACH`, `ETIMEDOUT`, `EADDRNOTAVAIL`, `EADDRINUSE`, `ENODEV`, `EMFILE`.
  public static func connect(
    to remote: TCPEndpoint, from local: TCPEndpoint? = nil, interface: String? = nil
  ) throws(Errno) -> TCPSocket {
    TCPSocket(try system_tcpConnect(to: remote, from: local, interface: interface))
  }

  /// Waits for the next connection to this listener.
  ///
  /// - Throws: `EINVAL` if it does not listen, `EMFILE`.
  public func accept() throws(Errno) -> TCPSocket {
    TCPSocket(try system_tcpAccept(descriptor.rawValue))
  }

  /// Gives the descriptor to the caller: what a receiver or a sender takes.
  public consuming func takeDescriptor() -> OwnedFileDescriptor { descriptor }

  /// Sends at once what is small (`TCP_NODELAY`).
  ///
  /// - Throws: nothing that is expected.
  public func setNoDelay(_ isEnabled: Bool) throws(Errno) {
    try system_tcpSetNoDelay(descriptor.rawValue, isEnabled)
  }

  /// Asks for a receive buffer of so many bytes (`SO_RCVBUF`); the kernel doubles and caps it.
  ///
  /// - Throws: nothing that is expected.
  package func setReceiveBuffer(byteCount: Int) throws(Errno) {
    try system_tcpSetBuffer(descriptor.rawValue, receive: true, byteCount: byteCount)
  }

  /// Asks for a send buffer of so many bytes (`SO_SNDBUF`); the kernel doubles and caps it.
  ///
  /// - Throws: nothing that is expected.
  package func setSendBuffer(byteCount: Int) throws(Errno) {
    try system_tcpSetBuffer(descriptor.rawValue, receive: false, byteCount: byteCount)
  }

  /// Tells the peer that nothing more will come (`shutdown(SHUT_WR)`).
  ///
  /// - Throws: `ENOTCONN`.
  public func finishSending() throws(Errno) {
    try descriptor.finishSending()
  }

  /// Sends bytes.
  ///
  /// - Returns: bytes taken, possibly fewer than given if the socket does not block.
  /// - Throws: `EPIPE`, `ECONNRESET`.
  @discardableResult
  public func send(_ bytes: [UInt8]) throws(Errno) -> Int {
    try unsafe bytes.withUnsafeBufferPointer { bytes throws(Errno) in
      // Only read: a piece of memory to send from and one to receive into are of one type.
      let base = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)
      let vector = unsafe IOVector(baseAddress: base, byteCount: bytes.count)
      return try unsafe withUnsafePointer(to: vector) { vector throws(Errno) in
        try unsafe descriptor.send(UnsafeBufferPointer(start: vector, count: 1))
      }
    }
  }

  /// What to wait for; see ``EventPoll/add(_:for:)``.
  public enum Interest: Int32, Sendable {
    /// The error queue, where completions are.
    case completion = 0
    /// Bytes to read, or the end.
    case readable = 1
    /// Room to write.
    case writable = 2
  }
}
