// SPDX-License-Identifier: Apache-2.0

import Devmem
public import DevmemSystem

/// Sends packets of a header and a payload that lie apart, by gather `sendmsg`: the counterpart of
/// ``HeaderSplitReceiver``.
///
/// It sends a packet completely before it returns, however small the pieces the socket takes:
/// where the socket is not a blocking one, it waits for room. On datagram sockets one packet is one
/// datagram.
///
/// Device memory is read through the buffers' CPU addresses: open a bracket that allows reading.
public struct HeaderSplitSender: ~Copyable {
  /// The socket; for polling and socket options.
  package let socket: OwnedFileDescriptor
  private var vectors: VectorList

  /// A sender on a connected socket, which is closed with it.
  public init(socket: consuming OwnedFileDescriptor) {
    self.socket = socket
    vectors = VectorList(capacity: VectorList.limit)
  }

  /// Sends a header and a payload, either of which may be empty.
  /// - Throws: ``HeaderSplitError/socket(_:)``; part of the packet may be sent by then, so that the
  ///   stream is of no more use.
  public mutating func send(
    header: RawSpan, payload: RawSpan
  ) throws(HeaderSplitError) {
    vectors.removeAll()
    try unsafe header.withUnsafeBytes { (header) throws(HeaderSplitError) in
      try unsafe payload.withUnsafeBytes { (payload) throws(HeaderSplitError) in
        unsafe append(header)
        unsafe append(payload)
        try sendAll()
      }
    }
  }

  /// Sends a packet as it is: its header and all its remaining fragments.
  /// - Throws: ``HeaderSplitError/noCPUMapping(_:)``,
  ///   ``HeaderSplitError/tooManyFragments(count:limit:)``, ``HeaderSplitError/socket(_:)``.
  public mutating func send(_ packet: borrowing Packet) throws(HeaderSplitError) {
    vectors.removeAll()
    guard packet.fragmentCount + 1 <= VectorList.limit else {
      throw .tooManyFragments(count: packet.fragmentCount, limit: VectorList.limit - 1)
    }
    if packet.headerByteCount > 0 {
      let address: UnsafeMutableRawPointer?
      switch packet.header {
      case .some(let netmem): unsafe address = unsafe netmem.cpuAddress
      case .none: unsafe address = nil
      }
      guard unsafe address != nil else { throw .noCPUMapping(.header) }
      unsafe vectors.append(base: address, offset: 0, byteCount: packet.headerByteCount)
    }
    for position in 0..<packet.fragmentCount {
      try packet.withFragment(at: position) { (fragment) throws(HeaderSplitError) in
        let address = unsafe fragment.cpuAddress
        guard unsafe address != nil else { throw .noCPUMapping(.payload) }
        unsafe vectors.append(base: address, offset: 0, byteCount: fragment.byteCount)
      }
    }
    try sendAll()
  }

  private mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    // The vectors of a gather call are only read.
    unsafe vectors.append(
      base: UnsafeMutableRawPointer(mutating: base), offset: 0, byteCount: bytes.count)
  }

  private mutating func sendAll() throws(HeaderSplitError) {
    while vectors.byteCount > 0 {
      let sent = try socket.send(vectors)
      vectors.dropFirst(byteCount: sent)
    }
    vectors.removeAll()
  }
}
