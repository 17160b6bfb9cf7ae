// SPDX-License-Identifier: Apache-2.0

/// A Unix socket that carries bytes and file descriptors (SCM_RIGHTS, unix(7)).
///
/// Descriptors arrive close-on-exec, and none is lost: what the caller does not take is closed.
/// All members may be called from any thread; one message is sent or received by one call.
public final class UnixSocket: Sendable {
  /// How bytes are framed.
  public enum Kind: Sendable {
    /// A message arrives as it was sent (`SOCK_SEQPACKET`).
    case sequencedPacket
    /// Bytes without boundaries (`SOCK_STREAM`).
    case stream
  }

  /// Descriptors in one message at most (`SCM_MAX_FD` of include/net/scm.h).
  package static let descriptorCountLimit = 253

  /// The socket's descriptor, close-on-exec.
  public let descriptor: OwnedFileDescriptor
  /// How bytes are framed.
  package let kind: Kind

  /// Takes over a descriptor that is a connected Unix socket.
  public init(_ descriptor: consuming OwnedFileDescriptor, kind: Kind = .sequencedPacket) {
    self.descriptor = descriptor
    self.kind = kind
  }

  /// Two sockets connected to each other (`socketpair(2)`).
  ///
  /// - Throws: `EMFILE`.
  public static func pair(
    kind: Kind = .sequencedPacket
  ) throws(Errno) -> (UnixSocket, UnixSocket) {
    let (first, second) = try system_unixPair(stream: kind == .stream)
    return (
      UnixSocket(OwnedFileDescriptor(owning: first), kind: kind),
      UnixSocket(OwnedFileDescriptor(owning: second), kind: kind)
    )
  }

  /// Listens at a path, or at an abstract name that begins with "@". The caller removes the file of
  /// a path; one that nobody listens on any more is replaced.
  ///
  /// - Parameters:
  ///   - path: at most 107 bytes.
  ///   - kind: messages or a stream; both ends must agree.
  ///   - backlog: connections that may wait to be accepted.
  ///   - permissions: of the file, from its first moment; the umask may take some away. Abstract
  ///     names have none: everybody in the network namespace can connect.
  /// - Throws: `EADDRINUSE` (somebody listens there, or it is another kind of file), `ENAMETOOLONG`
  ///   above 107 bytes, `EACCES`, `ENOENT`, `EMFILE`.
  public static func listen(
    path: String, kind: Kind = .sequencedPacket, backlog: Int = 16, permissions: UInt32 = 0o600
  ) throws(Errno) -> UnixSocket {
    UnixSocket(
      try system_unixListen(
        path, stream: kind == .stream, backlog: backlog, permissions: permissions), kind: kind)
  }

  /// Connects to a listener.
  ///
  /// - Throws: `ENOENT`, `ECONNREFUSED`, `EACCES`, `EMFILE`.
  public static func connect(
    path: String, kind: Kind = .sequencedPacket
  ) throws(Errno) -> UnixSocket {
    UnixSocket(try system_unixConnect(path, stream: kind == .stream), kind: kind)
  }

  /// Waits for the next connection to this listener.
  ///
  /// - Throws: `EINVAL` if it does not listen, `EMFILE`.
  public func accept() throws(Errno) -> UnixSocket {
    UnixSocket(try system_unixAccept(descriptor.rawValue), kind: kind)
  }

  /// Who is, or was, at the other end.
  package struct Peer: Hashable, Sendable {
    /// The process's number when it connected; it may be another one's by now.
    package let process: Int32
    /// Its effective user.
    package let user: UInt32
    /// Its effective group, and then its others.
    package let groups: [UInt32]
  }

  /// Who connected (`SO_PEERCRED`, `SO_PEERGROUPS`): as it was then, whoever holds the other end
  /// now.
  ///
  /// - Throws: nothing that is expected of a connected socket; `ENODATA` before.
  package func peer() throws(Errno) -> Peer { try system_unixPeer(descriptor.rawValue) }

  /// Sends bytes, and descriptors, which stay the caller's.
  ///
  /// - Parameters:
  ///   - bytes: at least one if descriptors go along. A stream may take fewer than given.
  ///   - descriptors: at most ``descriptorCountLimit``.
  /// - Returns: bytes taken; all of them for ``Kind/sequencedPacket``.
  /// - Throws: `EPIPE` and `ECONNRESET` (the other end has gone), `EMSGSIZE` (too long for one
  ///   message), `EINVAL` (counts), `ETOOMANYREFS`.
  @discardableResult
  @safe package func send(
    _ bytes: UnsafeRawBufferPointer, descriptors: [Int32] = []
  ) throws(Errno) -> Int {
    try unsafe system_unixSend(descriptor.rawValue, bytes, descriptors: descriptors)
  }

  /// Sends bytes, and descriptors, which stay the caller's. As above.
  ///
  /// - Throws: as above.
  @discardableResult
  public func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(Errno) -> Int {
    try unsafe bytes.withUnsafeBufferPointer { bytes throws(Errno) in
      try send(UnsafeRawBufferPointer(bytes), descriptors: descriptors)
    }
  }

  /// Waits for a message and receives it.
  ///
  /// - Parameters:
  ///   - bytes: where the bytes go.
  ///   - descriptorLimit: how many descriptors are expected at most.
  /// - Returns: how many bytes came (0 at the end), and the descriptors that came with them.
  /// - Throws: `EMSGSIZE` where bytes or descriptors did not fit: the message is gone, and the
  ///   descriptors that did arrive are closed; the same with `EMFILE` where this process has no
  ///   room for one, and with `EACCES` where a security module refuses one; `ECONNRESET`.
  @safe package func receive(
    into bytes: UnsafeMutableRawBufferPointer, descriptorLimit: Int = 0
  ) throws(Errno) -> Message {
    let (byteCount, numbers) = try unsafe receiveNumbers(bytes, descriptorLimit)
    return Message(
      byteCount: byteCount, bytes: [], descriptors: ReceivedDescriptors(owning: numbers))
  }

  /// Waits for a message and receives it into ``Message/bytes``.
  ///
  /// - Parameters:
  ///   - byteLimit: how many bytes are expected at most.
  ///   - descriptorLimit: how many descriptors are expected at most.
  /// - Returns: the message; its bytes are empty at the end of the connection.
  /// - Throws: `EMSGSIZE` where bytes or descriptors did not fit: the message is gone, and the
  ///   descriptors that did arrive are closed; the same with `EMFILE` where this process has no
  ///   room for one, and with `EACCES` where a security module refuses one; `ECONNRESET`; `EINVAL`
  ///   for limits that cannot be.
  public func receive(byteLimit: Int, descriptorLimit: Int = 0) throws(Errno) -> Message {
    guard byteLimit >= 0 else { throw .EINVAL }
    var bytes = [UInt8](repeating: 0, count: byteLimit)
    let (byteCount, numbers) = try unsafe bytes.withUnsafeMutableBufferPointer {
      bytes throws(Errno) in
      try unsafe receiveNumbers(UnsafeMutableRawBufferPointer(bytes), descriptorLimit)
    }
    bytes.removeLast(byteLimit - byteCount)
    return Message(
      byteCount: byteCount, bytes: bytes, descriptors: ReceivedDescriptors(owning: numbers))
  }

  /// The numbers belong to the caller.
  private func receiveNumbers(
    _ bytes: UnsafeMutableRawBufferPointer, _ descriptorLimit: Int
  ) throws(Errno) -> (byteCount: Int, numbers: [Int32]) {
    guard (0...Self.descriptorCountLimit).contains(descriptorLimit) else { throw .EINVAL }
    var numbers = [Int32](repeating: -1, count: descriptorLimit)
    let result = try unsafe system_unixReceive(descriptor.rawValue, bytes, descriptors: &numbers)
    numbers.removeLast(descriptorLimit - result.descriptorCount)
    if let obstacle = result.obstacle {
      _ = ReceivedDescriptors(owning: numbers)
      throw obstacle
    }
    return (result.byteCount, numbers)
  }

  /// What one call received.
  public struct Message: ~Copyable, Sendable {
    /// Bytes written; 0 at the end.
    package let byteCount: Int
    /// The bytes, unless the caller said where they go.
    public let bytes: [UInt8]
    /// The descriptors that came along.
    public var descriptors: ReceivedDescriptors
  }
}

/// Descriptors that arrived over a socket: taken one by one, the rest is closed at the end.
public struct ReceivedDescriptors: ~Copyable, Sendable {
  private var numbers: ArraySlice<Int32>

  init(owning numbers: [Int32]) {
    self.numbers = numbers[...]
  }

  deinit {
    for number in numbers { system_close(number) }
  }

  /// How many have not been taken.
  public var count: Int { numbers.count }

  /// The next one, in the order in which they were sent; nil when all are taken.
  public mutating func popFirst() -> OwnedFileDescriptor? {
    guard let number = numbers.popFirst() else { return nil }
    return OwnedFileDescriptor(owning: number)
  }
}
