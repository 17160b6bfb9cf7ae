// SPDX-License-Identifier: Apache-2.0

extension OwnedFileDescriptor {
  /// Receives from a socket of any kind into pieces of memory, one after the other (`recvmsg(2)`).
  ///
  /// - Parameters:
  ///   - vectors: at most ``TCPSocket/vectorCountLimit``.
  ///   - waitsForAll: returns only when all are full or the stream ends (`MSG_WAITALL`).
  /// - Returns: bytes received; 0 at the end of a stream.
  /// - Throws: `EAGAIN` where the socket does not block and has nothing, `ECONNRESET`, `EFAULT` for
  ///   memory that is not there, `EMSGSIZE` for too many pieces.
  @safe package func receive(
    into vectors: UnsafeBufferPointer<IOVector>, waitsForAll: Bool = false
  ) throws(Errno) -> Int {
    try unsafe system_tcpReceive(rawValue, vectors, waitAll: waitsForAll)
  }

  /// Sends pieces of memory over a socket of any kind, one after the other (`sendmsg(2)`).
  ///
  /// - Parameters:
  ///   - vectors: at most ``TCPSocket/vectorCountLimit``.
  ///   - isZerocopy: the kernel reads the memory later (`MSG_ZEROCOPY`): it must not change before
  ///     ``readCompletion()`` has named this call. Counts as one send even if it takes part only.
  /// - Returns: bytes taken, on a stream possibly fewer than given.
  /// - Throws: `EAGAIN` where the socket does not block and has no room, `EPIPE`, `ECONNRESET`,
  ///   `EMSGSIZE` for too many pieces or a datagram that is too long; with zero-copy `EFAULT` for
  ///   memory that cannot be pinned and `ENOBUFS` when too many sends are outstanding.
  @safe package func send(
    _ vectors: UnsafeBufferPointer<IOVector>, isZerocopy: Bool = false
  ) throws(Errno) -> Int {
    try unsafe system_tcpSend(rawValue, vectors, zerocopy: isZerocopy)
  }

  /// Begins to connect by TCP, without a wait: the socket does not block, is writable when it is
  /// over (``wait(for:milliseconds:)``), and ``finishConnecting()`` says how.
  ///
  /// - Throws: as ``TCPSocket/connect(to:from:interface:)``, as far as it is known at once.
  package static func beginConnecting(
    to remote: TCPEndpoint, from local: TCPEndpoint? = nil, interface: String? = nil
  ) throws(Errno) -> OwnedFileDescriptor {
    try system_tcpBeginConnect(to: remote, from: local, interface: interface)
  }

  /// Says how connecting went, and makes the socket block.
  ///
  /// - Throws: as ``TCPSocket/connect(to:from:interface:)``.
  package func finishConnecting() throws(Errno) {
    try system_tcpConnectResult(rawValue)
    try setBlocking(true)
  }

  /// Waits until a socket is ready (`poll(2)`).
  ///
  /// - Parameter milliseconds: -1 waits for ever. Signals do not prolong it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  package func wait(
    for interest: TCPSocket.Interest, milliseconds: Int32
  ) throws(Errno) -> Bool {
    try system_wait(rawValue, interest: interest.rawValue, milliseconds: milliseconds)
  }
}

extension SystemProcess {
  /// Waits until a descriptor that somebody else owns can be read (`poll(2)`).
  ///
  /// - Parameter milliseconds: -1 waits for ever. Signals do not prolong it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  package static func waitUntilReadable(
    _ number: Int32, milliseconds: Int32
  ) throws(Errno) -> Bool {
    try system_wait(
      number, interest: TCPSocket.Interest.readable.rawValue, milliseconds: milliseconds)
  }

  /// Waits until a socket that somebody else owns can be read or written. As above.
  package static func waitUntilReadableOrWritable(
    _ number: Int32, milliseconds: Int32
  ) throws(Errno) -> Bool {
    try system_wait(number, interest: 3, milliseconds: milliseconds)
  }

  /// Lets the calling thread rest (`poll(2)` of nothing).
  ///
  /// - Parameter milliseconds: how long, 0 or more; signals do not prolong it.
  package static func pause(milliseconds: Int32) {
    precondition(milliseconds >= 0, "negative time")
    _ = try? system_wait(-1, interest: 0, milliseconds: milliseconds)
  }
}
