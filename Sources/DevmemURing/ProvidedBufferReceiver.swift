// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemNet
package import DevmemSystem

/// Receives a stream by io_uring into buffers of a page pool that were lent to the kernel
/// beforehand: what completes a receive *is* a ``Netmem`` (`IORING_RECV_MULTISHOT` over
/// `IORING_REGISTER_PBUF_RING`, Linux 6.1).
///
/// One request receives until the stream ends. The kernel picks a buffer for each stretch of bytes
/// that has come, fills it as far as they go, and completes; a packet is the buffers that were
/// complete at the time of the call, one fragment each, in stream order. Where data has come
/// meanwhile, a call makes no system call.
///
/// Buffers that end, on any thread and in any order, are lent again by the next call. When the
/// kernel finds none it ends the request (`ENOBUFS`) and the bytes stay in the socket: the call
/// then returns ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, and the first one after a buffer came
/// back begins a new request. No byte is lost, and the stream does not end.
///
/// Device memory: the kernel writes through the buffers' CPU addresses whenever data comes, also
/// between calls. Keep a bracket that allows writing open as long as the receiver lives
/// (`DMABuf.withCPUAccess(_:_:)`).
///
/// The end of the receiver, on any thread, takes all buffers back from the kernel first.
///
/// Thread rules: one at a time, on the thread that owns the pool: it allocates from it. When that
/// thread ends, the next one goes on.
package struct ProvidedBufferReceiver: ~Copyable, PacketReceiver {
  /// How much is lent and taken at once, and whether calls wait.
  package struct Configuration: Hashable, Sendable {
    /// Buffers that the kernel may have at once, a power of two from 1 to 32768. Those of a pool
    /// with fewer are lent one and all.
    package var lentCount: Int
    /// Fragments of one packet at most, 1 to 65536.
    package var fragmentLimit: Int
    /// Whether a call waits where nothing has come. (The socket itself is made a blocking one: the
    /// kernel does not wait for others on a request's behalf.)
    package var waits: Bool

    /// A configuration.
    package init(lentCount: Int = 256, fragmentLimit: Int = 64, waits: Bool = true) {
      self.lentCount = lentCount
      self.fragmentLimit = fragmentLimit
      self.waits = waits
    }
  }

  /// The one group and the one request of the ring.
  private static let group: UInt16 = 0
  private static let request: UInt64 = 1

  private let socket: OwnedFileDescriptor
  private let pool: PagePool
  private let ring: URing
  private var lent: LentBuffers
  private let fragmentLimit: Int
  private let waits: Bool
  /// Whether the kernel may pick from the buffers: until the stream is over.
  private var isLent = true
  /// Whether a request is under way.
  private var isReceiving = false
  private var isAtEnd = false
  /// What ended the stream; every later call throws it again.
  private var failure: URingError?
  /// What the receiver has done so far.
  package private(set) var statistics = URingReceiverStatistics()

  deinit {
    if isLent { getBuffersBack() }
  }

  /// A receiver for a connected stream socket.
  /// - Parameters:
  ///   - stream: the socket. Made a blocking one, and closed with the receiver.
  ///   - payload: where the bytes go: buffers that the CPU may write.
  ///   - configuration: how much is lent and taken at once.
  /// - Throws: ``URingError``: `.invalidConfiguration`, and as ``URing``.
  package init(
    stream: consuming OwnedFileDescriptor, payload: PagePool,
    configuration: Configuration = Configuration()
  ) throws(URingError) {
    let lentCount = configuration.lentCount
    try URingError.check("lentCount", lentCount, in: 1...LentBuffers.countLimit)
    guard lentCount & (lentCount - 1) == 0 else {
      throw URingError(
        .invalidConfiguration, "lentCount \(lentCount)", remedy: "Use a power of two.")
    }
    try URingError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 16)
    do throws(Errno) {
      try stream.setBlocking(true)
    } catch {
      throw .receiving(error)
    }
    // At most one completion for each buffer that is lent, and one that says why there are no more:
    // the queue never overflows, which would end the request.
    let ring = try URing(submissionCount: 2, completionCount: 2 * lentCount)
    // The last step: what is registered has to be unregistered.
    lent = try Self.lentBuffers(lentCount, to: ring)
    self.ring = ring
    socket = stream
    pool = payload
    fragmentLimit = configuration.fragmentLimit
    waits = configuration.waits
  }

  private static func lentBuffers(
    _ capacity: Int, to ring: borrowing URing
  ) throws(URingError) -> LentBuffers {
    do throws(Errno) {
      let buffers = try LentBuffers(capacity: capacity)
      try buffers.register(with: ring, group: group)
      return buffers
    } catch {
      throw .registeringBuffers(error)
    }
  }

  /// The number of the io_uring's descriptor, for polling: readable when there is something to
  /// receive. The socket itself is not, since the kernel has taken its bytes.
  ///
  /// Only a call of ``receive(into:)`` begins to receive: poll after one that said
  /// ``/DevmemNet/ReceiveOutcome/wouldBlock``.
  package var descriptorNumber: Int32 { ring.descriptorNumber }

  /// Buffers that the kernel has now.
  package var lentCount: Int { lent.count }

  /// An empty packet with room for whatever one call receives.
  package func makePacket() -> Packet { Packet(fragmentCapacity: fragmentLimit) }

  /// Waits until there is something to receive, or the end (`poll(2)`).
  /// - Parameter milliseconds: -1 waits for ever.
  /// - Returns: false after the time.
  package func wait(milliseconds: Int32) throws(URingError) -> Bool {
    try ring.wait(milliseconds: milliseconds)
  }

  /// Receives what has come into `packet`, whose former contents end first.
  ///
  /// Allocates no memory. Unless the outcome is ``/DevmemNet/ReceiveOutcome/packet``, `packet` is
  /// empty. ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, always with `.payload`: the pool is empty
  /// and the kernel has no buffer left; end some fragments and call again.
  /// - Precondition: the calling thread owns the pool; `packet` comes from ``makePacket()`` or has
  ///   at least that capacity.
  /// - Throws: ``URingError``, final: every later call throws it again. What had come before it is
  ///   received first.
  package mutating func receive(into packet: inout Packet) throws(URingError) -> ReceiveOutcome {
    precondition(packet.fragmentCapacity >= fragmentLimit, "packet has too little room")
    packet.removeAll()
    do throws(URingError) {
      return try receiveAvailable(into: &packet)
    } catch {
      if failure == nil { fail(error) }
      throw error
    }
  }

  private mutating func receiveAvailable(
    into packet: inout Packet
  ) throws(URingError) -> ReceiveOutcome {
    while true {
      // Before lending: a completion frees the room that a buffer is lent in.
      takeCompletions(into: &packet)
      let canLend = !isLent || lent.refill(from: pool)
      if packet.fragmentCount > 0 {
        statistics.packets += 1
        return .packet
      }
      if let failure { throw failure }
      if isAtEnd { return .endOfStream }
      guard canLend else {
        throw URingError(
          .unwritable, "lending buffers to an io_uring",
          remedy: "The memory has no CPU address: give the receiver a pool over a dma-buf with a"
            + " CPU mapping, or over host memory.")
      }
      guard lent.count > 0 else {
        // Also while a request waits: it would find no buffer.
        statistics.stalls += 1
        return .exhausted(.payload)
      }
      do throws(Errno) {
        if !isReceiving {
          ring.prepareReceive(socket, group: Self.group, userData: Self.request)
          // From here on: what was prepared and not submitted goes with the next call.
          isReceiving = true
          statistics.requests += 1
          try ring.submit()
          // What lay in the socket is complete already.
          continue
        }
        guard waits else { return .wouldBlock }
        statistics.waits += 1
        try ring.waitForCompletion()
      } catch {
        throw .receiving(error)
      }
    }
  }

  /// Takes buffers out of completions until the packet is full.
  private mutating func takeCompletions(into packet: inout Packet) {
    while packet.fragmentCount < fragmentLimit, let completion = ring.popCompletion() {
      if !completion.isFollowed { isReceiving = false }
      if let number = completion.bufferNumber {
        let netmem = lent.take(number)
        // 0 bytes is the end of the stream, for which the kernel needed no buffer after all.
        if completion.result > 0 {
          let byteCount = Int(completion.result)
          statistics.fragments += 1
          statistics.byteCount += byteCount
          packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: byteCount))
        }
      }
      guard completion.result <= 0 else { continue }
      switch Errno(rawValue: 0 - completion.result) {
      case Errno(rawValue: 0):
        isAtEnd = true
        endLending()
      case .ENOBUFS:
        statistics.starved += 1
      case .ECANCELED:
        // The thread that submitted has ended: once more.
        break
      case let errno:
        fail(.receiving(errno))
      }
    }
  }

  private mutating func fail(_ error: URingError) {
    failure = error
    endLending()
  }

  /// The stream is over: takes the buffers back from the kernel and puts them into their pool.
  private mutating func endLending() {
    guard isLent else { return }
    isLent = false
    isReceiving = false
    getBuffersBack()
    lent.removeAll()
  }

  /// Unregistering waits for a receive that is writing, and lets none begin. Cancelling is for the
  /// socket, which the request would keep open.
  private borrowing func getBuffersBack() {
    ring.cancel(userData: Self.request)
    ring.unregisterBuffers(group: Self.group)
  }
}
