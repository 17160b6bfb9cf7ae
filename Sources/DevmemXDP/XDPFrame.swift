// SPDX-License-Identifier: Apache-2.0

package import Devmem

/// A packet of an AF_XDP socket, or a part of one: bytes in a buffer of a page pool.
///
/// Move-only; when it ends, on any thread, the buffer is back in its pool.
package struct XDPFrame: ~Copyable, Sendable {
  private var netmem: Netmem
  /// Where the bytes begin in the buffer.
  package private(set) var start: Int
  /// How many bytes.
  package private(set) var byteCount: Int
  /// Whether the packet goes on in the next frame (`XDP_PKT_CONTD`).
  package let isContinued: Bool

  /// A frame to be sent: bytes of a buffer, from that one on.
  /// - Precondition: the range lies in the buffer.
  package init(
    _ netmem: consuming Netmem, start: Int, byteCount: Int, isContinued: Bool = false
  ) {
    precondition(
      start >= 0 && byteCount >= 0 && byteCount <= netmem.byteCount - start,
      "frame outside its buffer")
    self.netmem = netmem
    self.start = start
    self.byteCount = byteCount
    self.isContinued = isContinued
  }

  init(received netmem: consuming Netmem, start: Int, byteCount: Int, isContinued: Bool) {
    self.netmem = netmem
    self.start = start
    self.byteCount = byteCount
    self.isContinued = isContinued
  }

  /// Where the bytes begin, in bytes from the start of their dma-buf.
  package var offset: UInt64 { netmem.offset + UInt64(start) }

  /// Reads the bytes.
  /// - Throws: as `Netmem.withBytes(_:)`.
  package func withBytes<Result: ~Copyable>(
    _ body: (RawSpan) throws -> Result
  ) throws -> Result {
    let range = start..<start + byteCount
    return try netmem.withBytes { bytes in try body(bytes.extracting(range)) }
  }

  /// Changes the bytes in place.
  /// - Throws: as `Netmem.withMutableBytes(_:)`.
  package mutating func withMutableBytes<Result: ~Copyable>(
    _ body: (inout MutableRawSpan) throws -> Result
  ) throws -> Result {
    let (start, byteCount) = (start, byteCount)
    return try netmem.withMutableBytes { bytes in
      try unsafe bytes.withUnsafeMutableBytes { whole in
        var part = unsafe MutableRawSpan(
          _unsafeBytes: UnsafeMutableRawBufferPointer(
            rebasing: whole[start..<start + byteCount]))
        return try body(&part)
      }
    }
  }

  /// Makes it other bytes of the same buffer, e.g. to put a header in front.
  /// - Precondition: the range lies in the buffer.
  package mutating func resize(start: Int, byteCount: Int) {
    precondition(
      start >= 0 && byteCount >= 0 && byteCount <= netmem.byteCount - start,
      "frame outside its buffer")
    self.start = start
    self.byteCount = byteCount
  }

  /// The buffer alone.
  package consuming func takeNetmem() -> Netmem { netmem }
}
