// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// Room for one message, allocated once, and the elements in it.
@safe
package struct MessageBuffer: ~Copyable {
  // SAFETY: allocated in init for `capacity` bytes and zeroed, freed in deinit, and reached only
  // through members that stay inside.
  private let storage: UnsafeMutableRawBufferPointer
  /// Bytes of the message in it.
  package private(set) var byteCount = 0

  deinit { unsafe storage.deallocate() }

  /// Room for a header and `limit` fragments.
  package init() {
    unsafe storage = .allocate(
      byteCount: MessageHeader.byteCount
        + FragmentEntry.limit * MemoryLayout<FragmentEntry>.stride, alignment: 16)
    unsafe storage.initializeMemory(as: UInt8.self, repeating: 0)
  }

  /// The header of the message in it; nil for what is not one of our messages.
  package var header: MessageHeader? {
    guard byteCount >= MessageHeader.byteCount else { return nil }
    let header = unsafe storage.load(as: MessageHeader.self)
    return header.message == nil ? nil : header
  }

  /// Starts a message over.
  package mutating func begin() { byteCount = MessageHeader.byteCount }

  /// Writes the header once the rest is there.
  package mutating func finish(_ header: MessageHeader) {
    unsafe storage.storeBytes(of: header, as: MessageHeader.self)
    byteCount = max(byteCount, MessageHeader.byteCount)
  }

  package mutating func append<Element: BitwiseCopyable>(_ element: Element) {
    let end = byteCount + MemoryLayout<Element>.size
    precondition(unsafe end <= storage.count, "message is full")
    unsafe storage.storeBytes(of: element, toByteOffset: byteCount, as: Element.self)
    byteCount += MemoryLayout<Element>.size
  }

  /// Appends bytes, as far as there is room.
  package mutating func append(contentsOf bytes: some Sequence<UInt8>) {
    for byte in bytes.prefix(unsafe storage.count - byteCount) { append(byte) }
  }

  /// Element number `position` behind the header.
  package func element<Element: BitwiseCopyable>(_ position: Int, as _: Element.Type) -> Element {
    let offset = MessageHeader.byteCount + position * MemoryLayout<Element>.stride
    precondition(offset + MemoryLayout<Element>.size <= byteCount, "element outside the message")
    return unsafe storage.load(fromByteOffset: offset, as: Element.self)
  }

  /// Whether `count` elements of that size are really there.
  package func holds<Element: BitwiseCopyable>(_ count: UInt32, of _: Element.Type) -> Bool {
    byteCount == MessageHeader.byteCount + Int(count) * MemoryLayout<Element>.stride
  }

  /// What follows the header, as bytes.
  package var payload: [UInt8] {
    unsafe byteCount > MessageHeader.byteCount
      ? Array(storage[MessageHeader.byteCount..<byteCount]) : []
  }

  /// The whole message.
  package var bytes: [UInt8] { unsafe Array(storage[..<byteCount]) }

  /// Sends the message. Throws `EAGAIN` where the socket does not block and has no room.
  package func send(over socket: UnixSocket) throws(Errno) {
    try unsafe socket.send(UnsafeRawBufferPointer(rebasing: storage[..<byteCount]))
  }

  /// Receives a message; false at the end of the connection.
  package mutating func receive(from socket: UnixSocket) throws(Errno) -> Bool {
    byteCount = 0
    byteCount = try unsafe socket.receive(into: storage).byteCount
    return byteCount > 0
  }

  /// Receives a message with one descriptor; nil at the end or if none came along.
  package mutating func receiveWithDescriptor(
    from socket: UnixSocket
  ) throws(Errno) -> OwnedFileDescriptor? {
    byteCount = 0
    var message = try unsafe socket.receive(into: storage, descriptorLimit: 1)
    byteCount = message.byteCount
    return message.descriptors.popFirst()
  }
}
