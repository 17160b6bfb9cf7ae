// SPDX-License-Identifier: Apache-2.0

extension OwnedFileDescriptor {
  /// Receives from a socket of any kind into pieces of memory, one after the other (`recvmsg(2)`).
  ///
  /// - Parameter vectors: at most ``TCPSocket/vectorCountLimit``.
  /// - Returns: bytes received; 0 at the end of a stream.
  /// - Throws: `EAGAIN` where the socket does not block and has nothing, `ECONNRESET`, `EFAULT` for
  ///   memory that is not there, `EMSGSIZE` for too many pieces.
  @safe package func receive(into vectors: UnsafeBufferPointer<IOVector>) throws(Errno) -> Int {
    try unsafe system_tcpReceive(rawValue, vectors, waitAll: false)
  }

  /// Sends pieces of memory over a socket of any kind, one after the other (`sendmsg(2)`).
  ///
  /// - Parameter vectors: at most ``TCPSocket/vectorCountLimit``.
  /// - Returns: bytes taken, on a stream possibly fewer than given.
  /// - Throws: `EAGAIN` where the socket does not block and has no room, `EPIPE`, `ECONNRESET`,
  ///   `EMSGSIZE` for too many pieces or a datagram that is too long.
  @safe package func send(_ vectors: UnsafeBufferPointer<IOVector>) throws(Errno) -> Int {
    try unsafe system_tcpSend(rawValue, vectors, zerocopy: false)
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
  /// Lets the calling thread rest (`poll(2)` of nothing).
  ///
  /// - Parameter milliseconds: how long, 0 or more; signals do not prolong it.
  package static func pause(milliseconds: Int32) {
    precondition(milliseconds >= 0, "negative time")
    _ = try? system_wait(-1, interest: 0, milliseconds: milliseconds)
  }
}
