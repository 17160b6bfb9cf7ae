// SPDX-License-Identifier: Apache-2.0

public import Devmem
public import DevmemSystem

/// Receives packets with the header in host pages and the payload straight in a pool's buffers.
///
/// Does for any stream or datagram socket what a NIC does with header split (`tcp-data-split`). The
/// kernel copies once out of the socket anyway; by scatter `recvmsg` that copy goes to where the
/// payload should be, so that nothing has to move it into device memory afterwards. A stream
/// without framing is all payload: then each packet is what one call found.
///
/// The receiver posts buffers ahead, as a driver fills its ring, and holds them until they are
/// filled: in a stream those of the packet being received and the next header, on a datagram socket
/// those of one packet of the largest size. They go back to their pools with the receiver, at the
/// end of a stream and at an error.
///
/// Device memory: the receiver writes through the buffers' CPU addresses. Open a bracket that
/// allows writing (`DMABuf.withCPUAccess(_:_:)`) around a batch of calls.
///
/// Thread rules: it may move between threads, but allocates from both pools: call it on the thread
/// that owns them.
public struct HeaderSplitReceiver: ~Copyable, PacketReceiver {
  /// How packets lie in the socket.
  enum Mode {
    case stream(HeaderFraming)
    case datagram(headerByteCount: Int, maximumPayloadByteCount: Int)
    case unframed
  }

  /// The socket; for polling and socket options. Reading from it breaks the framing.
  package let socket: OwnedFileDescriptor
  let mode: Mode
  /// nil where there are no headers.
  let headerPool: PagePool?
  let payloadPool: PagePool
  let headerByteCount: Int
  let maximumPayloadByteCount: Int
  let iovByteCount: Int
  var vectors: VectorList

  // The packet that is being received.

  var header: Netmem?
  var headerFilled = 0
  /// Posted buffers, each as a fragment of its full size.
  var posted: FragmentList
  /// What the header announced; nil while it is not complete.
  var payloadByteCount: Int?
  var payloadFilled = 0

  /// The header of the packet after it, filled by the call that ends this one: a packet then costs
  /// one system call instead of two.
  var nextHeader: Netmem?
  var nextHeaderFilled = 0

  /// What ended the stream; every later call throws it again.
  var failure: HeaderSplitError?

  /// A receiver for a connected stream socket (TCP, Unix).
  /// - Parameters:
  ///   - stream: the socket, blocking or not. Closed with the receiver.
  ///   - framing: how the stream is cut into packets.
  ///   - headers: where headers go: buffers of host memory.
  ///   - payload: where payload goes. It needs to have buffers for at least one payload of the
  ///     largest size, or a packet can wait for ever.
  /// - Throws: ``HeaderSplitError/headerExceedsBuffer(headerByteCount:bufferByteCount:)`` or
  ///   ``HeaderSplitError/tooManyFragments(count:limit:)``.
  public init(
    stream: consuming OwnedFileDescriptor, framing: HeaderFraming, headers: PagePool,
    payload: PagePool
  ) throws(HeaderSplitError) {
    try self.init(
      socket: stream, mode: .stream(framing), headers: headers, payload: payload,
      headerByteCount: framing.headerByteCount,
      maximumPayloadByteCount: framing.maximumPayloadByteCount)
  }

  /// A receiver for a datagram socket (UDP, Unix), whose datagrams are a header and the payload.
  /// - Parameters:
  ///   - datagrams: the socket, blocking or not. Closed with the receiver.
  ///   - headerByteCount: size of the header at the front of every datagram, 1 or more.
  ///   - maximumPayloadByteCount: a datagram with more is an error.
  ///   - headers: where headers go: buffers of host memory.
  ///   - payload: where payload goes.
  /// - Throws: as for streams.
  public init(
    datagrams: consuming OwnedFileDescriptor, headerByteCount: Int, maximumPayloadByteCount: Int,
    headers: PagePool, payload: PagePool
  ) throws(HeaderSplitError) {
    precondition(headerByteCount > 0, "a header has at least one byte")
    precondition(maximumPayloadByteCount >= 0, "negative payload size")
    try self.init(
      socket: datagrams,
      mode: .datagram(
        headerByteCount: headerByteCount, maximumPayloadByteCount: maximumPayloadByteCount),
      headers: headers, payload: payload, headerByteCount: headerByteCount,
      maximumPayloadByteCount: maximumPayloadByteCount)
  }

  /// A receiver for a connected stream socket that is not cut into packets: each packet is what is
  /// there, without a header, at most `maximumByteCount`. One system call a packet; the last buffer
  /// of a packet is as full as it came.
  /// - Parameters:
  ///   - unframed: the socket, blocking or not. Closed with the receiver.
  ///   - maximumByteCount: bytes of one packet at most, 1 or more. So many bytes of buffers are
  ///     posted.
  ///   - payload: where the bytes go.
  /// - Throws: ``HeaderSplitError/tooManyFragments(count:limit:)``.
  public init(
    unframed: consuming OwnedFileDescriptor, maximumByteCount: Int, payload: PagePool
  ) throws(HeaderSplitError) {
    precondition(maximumByteCount > 0, "a packet has at least one byte")
    try self.init(
      socket: unframed, mode: .unframed, headers: nil, payload: payload, headerByteCount: 0,
      maximumPayloadByteCount: maximumByteCount)
  }

  private init(
    socket: consuming OwnedFileDescriptor, mode: Mode, headers: PagePool?, payload: PagePool,
    headerByteCount: Int, maximumPayloadByteCount: Int
  ) throws(HeaderSplitError) {
    if let headers, headerByteCount > headers.iovByteCount {
      throw .headerExceedsBuffer(
        headerByteCount: headerByteCount, bufferByteCount: headers.iovByteCount)
    }
    let iovByteCount = payload.iovByteCount
    // Not by rounding the sum up, which overflows near the largest Int.
    let fragmentCount =
      maximumPayloadByteCount / iovByteCount
      + (maximumPayloadByteCount % iovByteCount > 0 ? 1 : 0)
    // Besides the payload's: a header and, on datagram sockets, the byte that shows an overrun.
    guard fragmentCount <= VectorList.limit - 2 else {
      throw .tooManyFragments(count: fragmentCount, limit: VectorList.limit - 2)
    }
    self.socket = socket
    self.mode = mode
    headerPool = headers
    payloadPool = payload
    self.headerByteCount = headerByteCount
    self.maximumPayloadByteCount = maximumPayloadByteCount
    self.iovByteCount = iovByteCount
    vectors = VectorList(capacity: fragmentCount + 2)
    posted = FragmentList(capacity: fragmentCount)
  }

  /// The socket's number, for polling.
  public var descriptorNumber: Int32 { socket.rawValue }

  /// An empty packet with room for the largest payload.
  public func makePacket() -> Packet { Packet(fragmentCapacity: posted.capacity) }

  /// Receives one packet into `packet`, whose former contents are returned to their pools first.
  ///
  /// Waits where the socket is a blocking one. Allocates no memory. Unless the outcome is
  /// ``ReceiveOutcome/packet``, `packet` is empty.
  /// - Precondition: the calling thread owns both pools; `packet` comes from ``makePacket()`` or
  ///   has at least that capacity.
  /// - Throws: ``HeaderSplitError``. On a stream the error is final, and thrown by every later
  ///   call; on a datagram socket the next call takes the next datagram.
  public mutating func receive(into packet: inout Packet) throws(HeaderSplitError) -> ReceiveOutcome
  {
    precondition(packet.fragmentCapacity >= posted.capacity, "packet has too little room")
    packet.removeAll()
    switch mode {
    case .stream(let framing): return try receiveFromStream(framing, into: &packet)
    case .datagram: return try receiveDatagram(into: &packet)
    case .unframed: return try receiveUnframed(into: &packet)
    }
  }

  // MARK: Buffers

  /// Allocates a header buffer; nil when there is none.
  func allocateHeader() throws(HeaderSplitError) -> Netmem? {
    guard let netmem = headerPool?.allocate() else { return nil }
    guard unsafe netmem.cpuAddress != nil else { throw .noCPUMapping(.header) }
    return netmem
  }

  /// Posts payload buffers until there is room for `byteCount`. False when the pool is exhausted;
  /// those that were posted stay.
  mutating func post(byteCount: Int) throws(HeaderSplitError) -> Bool {
    while posted.count * iovByteCount < byteCount {
      guard let netmem = payloadPool.allocate() else { return false }
      guard unsafe netmem.cpuAddress != nil else { throw .noCPUMapping(.payload) }
      posted.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: iovByteCount))
    }
    return true
  }

  /// Adds the posted buffers to `vectors`, from byte `start` to byte `end` of the payload.
  mutating func appendPosted(from start: Int, to end: Int) {
    var position = start / iovByteCount
    var offset = start % iovByteCount
    var rest = end - start
    while rest > 0 {
      let count = min(rest, iovByteCount - offset)
      unsafe vectors.append(
        base: posted.withFragment(at: position) { unsafe $0.cpuAddress },
        offset: offset, byteCount: count)
      rest -= count
      offset = 0
      position += 1
    }
  }

  /// Moves a complete payload from the posted buffers into the packet; what was posted in excess
  /// stays.
  mutating func deliver(payloadByteCount: Int, into packet: inout Packet) {
    packet.header = header.take()
    packet.headerByteCount = headerByteCount
    packet.payloadByteCount = payloadByteCount
    if (payloadByteCount + iovByteCount - 1) / iovByteCount == posted.count,
      packet.fragmentCapacity == posted.capacity
    {
      // All of them: exchange the two lists instead of moving each fragment.
      swap(&packet.fragments, &posted)
      packet.fragments.trimLast(to: payloadByteCount)
      return
    }
    var rest = payloadByteCount
    while rest > 0, let fragment = posted.popFirst() {
      let count = min(rest, iovByteCount)
      packet.fragments.append(
        PayloadFragment(storage: fragment.takeStorage(), start: 0, byteCount: count))
      rest -= count
    }
  }

  /// Returns everything that the receiver holds to the pools.
  mutating func releaseBuffers() {
    header = nil
    headerFilled = 0
    nextHeader = nil
    nextHeaderFilled = 0
    posted.removeAll()
    payloadByteCount = nil
    payloadFilled = 0
  }
}
