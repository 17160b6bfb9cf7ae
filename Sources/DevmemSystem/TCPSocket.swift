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
/// All members may be called from any thread; sending and receiving are independent of each other.
public final class TCPSocket: Sendable {
  /// Pieces in one call at most (`UIO_MAXIOV`).
  package static let vectorCountLimit = 1024

  /// The socket's descriptor, close-on-exec.
  public let descriptor: OwnedFileDescriptor
  /// The port a listener is bound to; 0 for a connection.
  public let port: UInt16

  /// Takes over a descriptor that is a connected stream socket.
  public init(_ descriptor: consuming OwnedFileDescriptor, port: UInt16 = 0) {
    self.descriptor = descriptor
    self.port = port
  }

  /// Listens on 127.0.0.1.
  ///
  /// - Parameters:
  ///   - port: 0 lets the kernel choose; ``port`` says which.
  ///   - backlog: connections that may wait to be accepted.
  /// - Throws: `EADDRINUSE`, `EACCES`, `EMFILE`.
  public static func listen(port: UInt16 = 0, backlog: Int = 16) throws(Errno) -> TCPSocket {
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
  public static func connect(port: UInt16) throws(Errno) -> TCPSocket {
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

  /// Begins to connect, without a wait: the socket does not block, is writable when it is over
  /// (``wait(for:milliseconds:)``), and ``finishConnecting()`` says how.
  ///
  /// - Throws: as ``connect(to:from:interface:)``, as far as it is known at once.
  package static func beginConnecting(
    to remote: TCPEndpoint, from local: TCPEndpoint? = nil, interface: String? = nil
  ) throws(Errno) -> TCPSocket {
    TCPSocket(try system_tcpBeginConnect(to: remote, from: local, interface: interface))
  }

  /// Says how connecting went, and makes the socket block.
  ///
  /// - Throws: as ``connect(to:from:interface:)``.
  package func finishConnecting() throws(Errno) {
    try system_tcpConnectResult(descriptor.rawValue)
    try descriptor.setBlocking(true)
  }

  /// Waits for the next connection to this listener.
  ///
  /// - Throws: `EINVAL` if it does not listen, `EMFILE`.
  public func accept() throws(Errno) -> TCPSocket {
    TCPSocket(try system_tcpAccept(descriptor.rawValue))
  }

  /// Sends at once what is small (`TCP_NODELAY`).
  ///
  /// - Throws: nothing that is expected.
  public func setNoDelay(_ isEnabled: Bool) throws(Errno) {
    try system_tcpSetNoDelay(descriptor.rawValue, isEnabled)
  }

  /// Allows zero-copy sends (`SO_ZEROCOPY`).
  ///
  /// - Throws: nothing that is expected since Linux 4.14.
  package func setZerocopy(_ isEnabled: Bool) throws(Errno) {
    try system_tcpSetZerocopy(descriptor.rawValue, isEnabled)
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
    try system_tcpFinishSending(descriptor.rawValue)
  }

  /// Sends pieces of memory, one after the other.
  ///
  /// - Parameters:
  ///   - vectors: at most ``vectorCountLimit``.
  ///   - isZerocopy: the kernel reads the memory later (`MSG_ZEROCOPY`): it must not change before
  ///     ``readCompletion()`` has named this call. Counts as one send even if it takes part only.
  /// - Returns: bytes taken, possibly fewer than given.
  /// - Throws: `EPIPE`, `ECONNRESET`; with zero-copy `EFAULT` for memory that cannot be pinned and
  ///   `ENOBUFS` when too many sends are outstanding; `EMSGSIZE` for too many pieces.
  @safe package func send(
    _ vectors: UnsafeBufferPointer<IOVector>, isZerocopy: Bool = false
  ) throws(Errno) -> Int {
    try unsafe system_tcpSend(descriptor.rawValue, vectors, zerocopy: isZerocopy)
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
        try unsafe send(UnsafeBufferPointer(start: vector, count: 1))
      }
    }
  }

  /// Receives into pieces of memory, one after the other.
  ///
  /// - Parameters:
  ///   - vectors: at most ``vectorCountLimit``.
  ///   - waitsForAll: returns only when all are full or the stream ends (`MSG_WAITALL`).
  /// - Returns: bytes received; 0 at the end of the stream.
  /// - Throws: `ECONNRESET`, `EFAULT` for memory that is not there, `EMSGSIZE` for too many pieces.
  @safe package func receive(
    into vectors: UnsafeBufferPointer<IOVector>, waitsForAll: Bool = false
  ) throws(Errno) -> Int {
    try unsafe system_tcpReceive(descriptor.rawValue, vectors, waitAll: waitsForAll)
  }

  /// The next completion of zero-copy sends from the error queue; nil if there is none now.
  ///
  /// - Throws: an error of the connection.
  package func readCompletion() throws(Errno) -> ZerocopyCompletion? {
    try system_tcpReadCompletion(descriptor.rawValue)
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

  /// Waits until the socket is ready (`poll(2)`).
  ///
  /// - Parameter milliseconds: -1 waits for ever. Signals do not prolong it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  package func wait(for interest: Interest, milliseconds: Int32) throws(Errno) -> Bool {
    try system_wait(descriptor.rawValue, interest: interest.rawValue, milliseconds: milliseconds)
  }
}
