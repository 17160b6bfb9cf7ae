// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

extension OwnedFileDescriptor {
  /// Entries that one ``devmemDontNeed(_:)`` takes (`MAX_DONTNEED_TOKENS`, net/core/sock.c).
  package static var devmemTokenRangeLimit: Int { Int(CSYSTEM_DEVMEM_TOKEN_RANGE_LIMIT) }
  /// Tokens that one ``devmemDontNeed(_:)`` looks at (`MAX_DONTNEED_FRAGS`, net/core/sock.c).
  package static var devmemTokenLimit: Int { Int(CSYSTEM_DEVMEM_TOKEN_LIMIT) }

  /// Gives received device memory back to the kernel (`setsockopt(SO_DEVMEM_DONTNEED)`).
  ///
  /// Takes no socket lock: any thread may call it, also while another waits in a receive.
  ///
  /// - Parameter ranges: at most ``devmemTokenRangeLimit`` entries. The kernel silently stops after
  ///   ``devmemTokenLimit`` tokens.
  /// - Returns: how many tokens it knew and freed. Unknown ones are skipped without a word.
  /// - Throws: `EBADF` if the socket is not TCP, `ENOPROTOOPT` before Linux 6.12, `EINVAL` for too
  ///   many entries, `ENOMEM` with nothing freed.
  @safe package func devmemDontNeed(
    _ ranges: UnsafeBufferPointer<DMABufTokenRange>
  ) throws(Errno) -> Int {
    try unsafe system_devmemReturnTokens(rawValue, ranges)
  }

  /// Sends bytes of a dma-buf that is bound to the route's network device for transmission
  /// (`sendmsg(MSG_ZEROCOPY)` with `SCM_DEVMEM_DMABUF`).
  ///
  /// - Parameters:
  ///   - vectors: at most ``TCPSocket/vectorCountLimit``; a base address is an offset in the
  ///     dma-buf.
  ///   - bindingID: the id that bind-tx gave.
  /// - Returns: bytes taken, possibly fewer than given. The memory must not change before
  ///   ``readCompletion()`` has named this call, which counts as one even if it took part only.
  /// - Throws: `EINVAL` for an id that is not bound for transmission, or without
  ///   ``TCPSocket/setZerocopy(_:)``; `ENODEV` if the route leaves by another device; `EFAULT` for
  ///   an offset past the end; `ENOBUFS` when too many calls are not completed; `EAGAIN`, `EPIPE`,
  ///   `ECONNRESET`, `EMSGSIZE`. A call that throws is not counted.
  @safe package func sendDevmem(
    _ vectors: UnsafeBufferPointer<IOVector>, bindingID: UInt32
  ) throws(Errno) -> Int {
    try unsafe system_devmemSend(rawValue, vectors, binding: bindingID)
  }

  /// The next completion of zero-copy sends from the error queue; nil if there is none now.
  ///
  /// - Throws: an error of the connection.
  package func readCompletion() throws(Errno) -> ZerocopyCompletion? {
    try system_tcpReadCompletion(rawValue)
  }

  /// Allows zero-copy sends (`SO_ZEROCOPY`).
  ///
  /// - Throws: `EOPNOTSUPP` for a socket that is neither TCP nor UDP over IP.
  package func setZerocopy(_ isEnabled: Bool) throws(Errno) {
    try system_tcpSetZerocopy(rawValue, isEnabled)
  }

  /// Tells the peer that nothing more will come (`shutdown(SHUT_WR)`).
  ///
  /// - Throws: `ENOTCONN`.
  package func finishSending() throws(Errno) { try system_tcpFinishSending(rawValue) }

  /// Ends a TCP connection as closing would, without closing the descriptor: the peer learns of it
  /// at once, by a reset if something is unread, which is gone then, else in order. Tokens of
  /// device memory that the socket has given out stay valid.
  ///
  /// - Throws: `ENOTCONN`.
  package func endConnection() throws(Errno) { try system_tcpEndConnection(rawValue) }

  /// Makes calls wait, or not (`O_NONBLOCK`). Goes for every descriptor of the same open file.
  ///
  /// - Throws: nothing that is expected.
  package func setBlocking(_ isBlocking: Bool) throws(Errno) {
    try system_setBlocking(rawValue, isBlocking)
  }
}
