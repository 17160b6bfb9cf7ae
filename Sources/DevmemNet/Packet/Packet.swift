// SPDX-License-Identifier: Apache-2.0

public import Devmem

/// A received packet: its header in a host buffer, its payload in fragments of another pool's
/// buffers, mostly device memory (`struct sk_buff` with unreadable fragments).
///
/// Packets of a stream without framing have no header, only payload as it came.
///
/// Move-only: dropping it, or a fragment taken from it, returns the buffers. A packet can be filled
/// again and again by ``PacketReceiver/receive(into:)``; its list of fragments is allocated
/// once. It may be sent to and end on any thread.
public struct Packet: ~Copyable, Sendable {
  var header: Netmem?
  /// Size of the header in bytes; 0 in a packet that was not filled.
  public internal(set) var headerByteCount = 0
  var fragments: FragmentList
  /// Bytes of payload received or added, whatever has been taken out since.
  public internal(set) var payloadByteCount = 0

  /// An empty packet with room for `fragmentCapacity` fragments, 0 or more.
  public init(fragmentCapacity: Int) {
    fragments = FragmentList(capacity: fragmentCapacity)
  }

  /// Fragments that the packet can have.
  public var fragmentCapacity: Int { fragments.capacity }

  /// Fragments that are still in the packet.
  public var fragmentCount: Int { fragments.count }

  /// Reads the header.
  ///
  /// An empty packet's header is empty.
  /// - Throws: what `body` throws, or `NetmemError` if the header's pool is not of host memory
  ///   and no bracket is open.
  public func withHeader<Result>(_ body: (RawSpan) throws -> Result) throws -> Result {
    let byteCount = headerByteCount
    switch header {
    case .some(let netmem):
      return try netmem.withBytes { bytes in try body(bytes.extracting(first: byteCount)) }
    case .none:
      return try unsafe body(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: nil, count: 0)))
    }
  }

  /// Looks at the fragment at a position, in payload order.
  /// - Precondition: `0 <= position < fragmentCount`.
  public func withFragment<Result: ~Copyable, Failure: Error>(
    at position: Int, _ body: (borrowing PayloadFragment) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try fragments.withFragment(at: position, body)
  }

  /// Adds a fragment at the end, for sending.
  /// - Precondition: `fragmentCount < fragmentCapacity`.
  public mutating func append(_ fragment: consuming PayloadFragment) {
    payloadByteCount += fragment.byteCount
    fragments.append(fragment)
  }

  /// Takes the first remaining fragment out, nil when there is none.
  public mutating func popFirstFragment() -> PayloadFragment? { fragments.popFirst() }

  /// Takes the header's buffer out, nil when there is none.
  public mutating func takeHeader() -> Netmem? {
    headerByteCount = 0
    return header.take()
  }

  /// Returns all buffers that are still in the packet.
  public mutating func removeAll() {
    header = nil
    headerByteCount = 0
    payloadByteCount = 0
    fragments.removeAll()
  }
}
