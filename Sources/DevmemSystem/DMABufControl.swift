// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// Control memory for device memory TCP, allocated once: what `recvmsg(MSG_SOCK_DEVMEM)` says about
/// received bytes, message by message.
@safe
package struct DMABufControl: ~Copyable {
  // SAFETY: both are allocated in init for `capacity` messages and freed in deinit; the first
  // `count` of `messages` are initialised by the last receive.
  private let memory: UnsafeMutableRawBufferPointer
  private let messages: UnsafeMutablePointer<DMABufMessage>
  /// Messages that one call can bring.
  package let capacity: Int
  /// Messages that the last call has brought.
  package private(set) var count = 0
  /// Whether the last call had a control message without room for it (`MSG_CTRUNC`).
  package private(set) var isTruncated = false

  deinit {
    unsafe memory.deallocate()
    unsafe messages.deallocate()
  }

  /// Room for `capacity` messages, 1 or more.
  package init(capacity: Int) {
    precondition(capacity > 0, "a receive needs room for one control message")
    self.capacity = capacity
    unsafe memory = .allocate(
      byteCount: capacity * Int(CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT), alignment: 16)
    unsafe messages = .allocate(capacity: capacity)
  }

  /// What the last call said about its bytes, in stream order.
  /// - Precondition: `0 <= position < count`.
  package subscript(position: Int) -> DMABufMessage {
    precondition(position >= 0 && position < count, "control message position out of range")
    return unsafe messages[position]
  }

  /// Says what a receive would have said; for tests, where no card does.
  /// - Precondition: at most ``capacity``.
  package mutating func describe(_ made: [DMABufMessage]) {
    precondition(made.count <= capacity, "more messages than there is room for")
    for (position, message) in made.enumerated() {
      unsafe (messages + position).initialize(to: message)
    }
    count = made.count
    isTruncated = false
  }

  /// Receives on a TCP socket what is in device memory without moving it
  /// (`recvmsg(MSG_SOCK_DEVMEM)`).
  ///
  /// Bytes that are in device memory are described by messages; linear ones are copied to the
  /// vectors and described. Bytes of a flow that does not reach a bound queue are copied and bring
  /// no message; one call never mixes the two.
  ///
  /// - Parameters:
  ///   - socket: connected, TCP.
  ///   - vectors: where linear bytes go. A call takes as many bytes as there is room for here, even
  ///     though those in device memory do not need it.
  ///   - messageLimit: messages to take at most, 1 to ``capacity``.
  ///   - waits: false returns at once even on a socket that blocks.
  /// - Returns: bytes received; 0 at the end of the stream.
  /// - Throws: `EAGAIN`, `ECONNRESET`, `ETIMEDOUT`; ``Errno/ETOOSMALL``; `EFAULT` for vectors that
  ///   cannot be written; `ENODEV` for bytes in another kind of device memory.
  @safe package mutating func receive(
    from socket: borrowing OwnedFileDescriptor, into vectors: UnsafeBufferPointer<IOVector>,
    messageLimit: Int, waits: Bool
  ) throws(Errno) -> Int {
    precondition(messageLimit > 0 && messageLimit <= capacity, "message limit out of range")
    count = 0
    isTruncated = false
    let room = unsafe UnsafeMutableRawBufferPointer(
      rebasing: memory[..<(messageLimit * Int(CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT))])
    let result = try unsafe system_devmemReceive(
      socket.rawValue, vectors, waits: waits, room, messages)
    count = result.messageCount
    isTruncated = result.isTruncated
    return result.byteCount
  }
}
