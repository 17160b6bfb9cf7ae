// SPDX-License-Identifier: Apache-2.0

internal import CXDPShims
package import Devmem
internal import DevmemSystem

/// An AF_XDP socket on one queue of an interface, over a ``UMEM``: packets come in buffers of a
/// page pool, and go out of such, without a copy by the program (`net/xdp/xsk.c`,
/// Documentation/networking/af_xdp.rst).
///
/// Buffers are lent to the kernel for receiving (``lend(from:)``), come back with packets in them
/// (``receive()``), go out (``send(_:)``) and are back in their pool when they were sent
/// (``collect()``). What was put into rings is shown to the kernel by ``flush()``.
///
/// Device memory: the kernel writes into the buffers whenever packets come. Keep a bracket that
/// allows writing open as long as the socket lives (`DMABuf.withCPUAccess(_:_:)`).
///
/// The end of the socket, on any thread, brings back all that was lent, packets that were not
/// taken included. With copies the kernel receives into none of it any more by then. Without
/// (``isZeroCopy``), the card may for a moment after it: that was tried on no card. A packet that
/// was not collected may still be on its way, with the bytes that its buffer has then: collect
/// first.
///
/// Thread rules: one at a time; ``lend(from:)`` on the thread that owns the pool.
package struct XDPSocket: ~Copyable, Sendable {
  /// Whether the card, or the kernel, may copy.
  package enum Mode: Hashable, Sendable {
    /// Without a copy where the driver can.
    case automatic
    /// Refused where the driver cannot do it without a copy.
    case zeroCopy
    /// Always a copy.
    case copy
  }

  /// The socket's rings.
  package struct Configuration: Hashable, Sendable {
    /// Buffers that the kernel may have for receiving, a power of two, 2 to 32768.
    package var fillCount: Int
    /// Sent packets that may wait to be collected, a power of two, 2 to 32768.
    package var completionCount: Int
    /// Received packets that may wait, a power of two, 2 to 32768.
    package var receiveCount: Int
    /// Packets that may wait to be sent, a power of two, 2 to 32768.
    package var transmitCount: Int
    /// Whether copies are made.
    package var mode: Mode

    /// A configuration.
    package init(
      fillCount: Int = 2048, completionCount: Int = 2048, receiveCount: Int = 2048,
      transmitCount: Int = 2048, mode: Mode = .automatic
    ) {
      self.fillCount = fillCount
      self.completionCount = completionCount
      self.receiveCount = receiveCount
      self.transmitCount = transmitCount
      self.mode = mode
    }
  }

  /// What the kernel counts (`XDP_STATISTICS`).
  package struct Statistics: Hashable, Sendable {
    /// Packets dropped for other reasons than the next two.
    package var receiveDropped: UInt64
    /// Packets dropped because those that waited had not been taken.
    package var receiveRingFull: UInt64
    /// Packets that came while no buffer was lent.
    package var fillRingEmpty: UInt64
    /// Chunks lent that the kernel found invalid.
    package var receiveInvalid: UInt64
    /// Packets to be sent that the kernel found invalid.
    package var transmitInvalid: UInt64
    /// How often the kernel looked for packets to be sent and found none.
    package var transmitRingEmpty: UInt64
  }

  private let socket: Socket
  private let memory: UMEM
  private let program: XDPProgram
  private let queue: Int
  private let fill: XDPProducer
  private let completion: XDPConsumer
  private let received: XDPConsumer
  private let transmit: XDPProducer
  private var lent: LentChunks
  private let isMultiBuffer: Bool
  private let fillCount: Int
  private var hasPutChunks = false
  private var hasPutPackets = false
  /// Whether the driver takes and gives packets without a copy.
  package let isZeroCopy: Bool

  deinit {
    // Before the buffers that were lent are back.
    socket.close()
    program.removeSocket(queue: queue)
  }

  @safe
  private struct Socket: @unchecked Sendable {
    // SAFETY: open from the making of an XDPSocket to its end, and used by nobody else.
    let handle: OpaquePointer

    func close() { unsafe cxdp_socket_close(handle) }
  }

  /// Opens a socket. Packets come from then on, as far as buffers are lent.
  /// - Parameters:
  ///   - memory: where packets lie.
  ///   - program: what brings them here; names the interface.
  ///   - queue: the interface's queue.
  ///   - configuration: its rings, and whether copies are made.
  /// - Throws: ``XDPError``: `.queueTaken`, `.queueMissing`, `.interfaceDown`,
  ///   `.interfaceUnsupported`, `.permissionDenied`, `.invalidConfiguration`. Nothing is left.
  package init(
    _ memory: UMEM, program: XDPProgram, queue: Int,
    configuration: Configuration = Configuration()
  ) throws(XDPError) {
    let counts = XDPRingCounts(
      fill: configuration.fillCount, completion: configuration.completionCount,
      receive: configuration.receiveCount, transmit: configuration.transmitCount)
    try XDPError.checkPowerOfTwo("fillCount", counts.fill, in: 2...1 << 15)
    try XDPError.checkPowerOfTwo("completionCount", counts.completion, in: 2...1 << 15)
    try XDPError.checkPowerOfTwo("receiveCount", counts.receive, in: 2...1 << 15)
    try XDPError.checkPowerOfTwo("transmitCount", counts.transmit, in: 2...1 << 15)
    var flags: UInt32 = program.isMultiBuffer ? UInt32(CXDP_MULTI_BUFFER) : 0
    switch configuration.mode {
    case .automatic: break
    case .zeroCopy: flags |= UInt32(CXDP_ZERO_COPY)
    case .copy: flags |= UInt32(CXDP_COPY)
    }
    try program.claim(queue: queue)
    do throws(XDPError) {
      (socket, isZeroCopy) = try Self.open(memory, program, queue, counts, flags)
    } catch {
      program.removeSocket(queue: queue)
      throw error
    }
    let rings = unsafe cxdp_socket_rings(socket.handle).unsafelyUnwrapped
    fill = unsafe XDPProducer(pointer(to: \.fill, of: rings))
    completion = unsafe XDPConsumer(pointer(to: \.completion, of: rings))
    received = unsafe XDPConsumer(pointer(to: \.receive, of: rings))
    transmit = unsafe XDPProducer(pointer(to: \.transmit, of: rings))
    fillCount = counts.fill
    lent = LentChunks(of: memory)
    isMultiBuffer = program.isMultiBuffer
    self.memory = memory
    self.program = program
    self.queue = queue
  }

  /// All that can fail; nothing is left then.
  ///
  /// A queue that a socket has just left is busy until the kernel has tidied up behind it, some
  /// milliseconds later.
  private static func open(
    _ memory: UMEM, _ program: XDPProgram, _ queue: Int, _ counts: XDPRingCounts, _ flags: UInt32
  ) throws(XDPError) -> (Socket, isZeroCopy: Bool) {
    var patience = 50
    while true {
      let socket: Socket
      do throws(Errno) {
        socket = unsafe Socket(
          handle: try xdp_socketOpen(
            memory.bytes, chunkByteCount: memory.chunkByteCount, counts))
      } catch {
        throw .registering(error, byteCount: memory.byteCount)
      }
      do throws(Errno) {
        try unsafe xdp_socketBind(
          socket.handle, interface: program.interface, queue: queue, counts, flags: flags)
        let isZeroCopy = try unsafe xdp_isZeroCopy(socket.handle)
        try program.setSocket(unsafe cxdp_socket_descriptor(socket.handle), queue: queue)
        return (socket, isZeroCopy)
      } catch {
        socket.close()
        guard error == .EBUSY, patience > 0 else {
          throw .binding(error, interface: program.interface, queue: queue)
        }
      }
      patience -= 1
      cxdp_rest()
    }
  }

  /// The number to poll: readable when there are packets. Borrowed: valid while the socket lives.
  package var descriptorNumber: Int32 { unsafe cxdp_socket_descriptor(socket.handle) }

  /// Buffers that the kernel has.
  package var lentCount: Int { lent.count }

  // MARK: Receiving

  /// Lends the kernel buffers to receive into, as many as it has room for and the pool has, up to
  /// `limit`.
  /// - Returns: how many. The kernel sees them after ``flush()``.
  /// - Precondition: the calling thread owns the pool.
  /// - Throws: ``XDPError`` `.foreignBuffer` for a buffer that is no chunk of the socket's memory;
  ///   it is back in the pool, and what was lent before stays so.
  package mutating func lend(
    from pool: PagePool, atMost limit: Int = .max
  ) throws(XDPError) -> Int {
    let room = min(limit, fill.room(fillCount))
    var count = 0
    while count < room, let netmem = pool.allocate() {
      guard let address = lent.address(of: netmem) else { throw foreign() }
      fill.put(UInt64(truncatingIfNeeded: address))
      lent.put(netmem, at: address)
      hasPutChunks = true
      count += 1
    }
    return count
  }

  /// Takes a packet that has come, or a part of one, or nil when there is none. Without a system
  /// call.
  package mutating func receive() -> XDPFrame? {
    guard received.available > 0 else { return nil }
    let descriptor = received.take()
    let netmem = lent.take(descriptor.address)
    return XDPFrame(
      received: netmem, start: lent.start(descriptor.address),
      byteCount: Int(descriptor.length),
      isContinued: descriptor.options & UInt32(CXDP_CONTINUED) != 0)
  }

  /// Waits until there is a packet (`poll(2)`).
  /// - Parameter milliseconds: -1 waits for ever.
  /// - Returns: false after the time.
  package func wait(milliseconds: Int32) throws(XDPError) -> Bool {
    do throws(Errno) {
      return try SystemProcess.waitUntilReadable(descriptorNumber, milliseconds: milliseconds)
    } catch {
      throw .opening("waiting for packets", error)
    }
  }

  // MARK: Sending

  /// Puts a packet, or a part of one, where the kernel sends it from after ``flush()``. Its buffer
  /// is back in its pool after a ``collect()`` that finds it sent.
  /// - Returns: nil, or the frame if there is no room.
  /// - Throws: ``XDPError`` `.foreignBuffer` for bytes that do not lie in one chunk of the socket's
  ///   memory, or a buffer of which there is another handle; it is back in its pool.
  package mutating func send(_ frame: consuming XDPFrame) throws(XDPError) -> XDPFrame? {
    guard transmit.room(1) > 0 else { return frame }
    let (start, byteCount, isContinued) = (frame.start, frame.byteCount, frame.isContinued)
    let netmem = frame.takeNetmem()
    guard
      let address = lent.address(of: netmem), byteCount > 0,
      start + byteCount <= memory.chunkByteCount, netmem.referenceCount == 1,
      isMultiBuffer || !isContinued
    else { throw foreign() }
    transmit.put(
      cxdp_descriptor(
        address: UInt64(truncatingIfNeeded: address + start),
        length: UInt32(truncatingIfNeeded: byteCount),
        options: isContinued ? UInt32(CXDP_CONTINUED) : 0))
    lent.put(netmem, at: address)
    hasPutPackets = true
    return nil
  }

  /// Brings back the buffers of packets that were sent. Without a system call.
  /// - Returns: how many.
  @discardableResult
  package mutating func collect() -> Int {
    let count = completion.available
    guard count > 0 else { return 0 }
    for _ in 0..<count { _ = lent.take(completion.takeAddress()) }
    completion.release()
    return count
  }

  /// Shows the kernel what was lent and what is to be sent, and tells it where it waits for that: a
  /// system call for each at most.
  /// - Throws: ``XDPError``: `.interfaceDown`; what was put is sent when the interface is up and
  ///   this is called again.
  package mutating func flush() throws(XDPError) {
    if hasPutChunks {
      fill.publish()
      hasPutChunks = false
    }
    if hasPutPackets {
      transmit.publish()
      hasPutPackets = false
    }
    do throws(Errno) {
      if fill.needsWakeup, isZeroCopy { try unsafe tell(xdp_wake) }
      if transmit.needsWakeup { try unsafe tell(xdp_kick) }
    } catch {
      throw .binding(error, interface: program.interface, queue: queue)
    }
  }

  /// Busy, or out of memory for the moment: what is in the ring is sent after the next call.
  private func tell(_ call: (OpaquePointer) throws(Errno) -> Void) throws(Errno) {
    do throws(Errno) {
      try unsafe call(socket.handle)
    } catch .EAGAIN {
    } catch .EBUSY {
    } catch .ENOBUFS {
    }
  }

  /// What the kernel has counted.
  package func statistics() throws(XDPError) -> Statistics {
    do throws(Errno) {
      let seen = try unsafe xdp_statistics(socket.handle)
      return Statistics(
        receiveDropped: seen.receive_dropped, receiveRingFull: seen.receive_ring_full,
        fillRingEmpty: seen.fill_ring_empty, receiveInvalid: seen.receive_invalid,
        transmitInvalid: seen.transmit_invalid, transmitRingEmpty: seen.transmit_ring_empty)
    } catch {
      throw .opening("asking an AF_XDP socket for its statistics", error)
    }
  }

  private func foreign() -> XDPError {
    XDPError(
      .foreignBuffer, "lending a buffer to AF_XDP",
      remedy: "Use a pool over the memory that the socket has, with buffers of at least"
        + " \(memory.chunkByteCount) bytes, of which nobody else has a handle.")
  }
}

@unsafe
private func pointer(
  to ring: WritableKeyPath<cxdp_rings, cxdp_ring>, of rings: UnsafeMutablePointer<cxdp_rings>
) -> UnsafeMutablePointer<cxdp_ring> {
  unsafe UnsafeMutableRawPointer(rings).advanced(
    by: MemoryLayout<cxdp_rings>.offset(of: ring).unsafelyUnwrapped
  ).assumingMemoryBound(to: cxdp_ring.self)
}
