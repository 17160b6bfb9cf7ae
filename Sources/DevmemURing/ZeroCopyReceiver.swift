// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemNet
package import DevmemSystem

/// Receives a stream by io_uring's zero-copy receive (`IORING_OP_RECV_ZC`) without a network device
/// (`ZCRX_REG_NODEV`): any TCP socket, also over loopback. The kernel copies each byte once, into
/// the memory of a dma-buf that was registered for it, and the program none.
///
/// A packet is what was complete at the time of the call: fragments in stream order, each in a
/// buffer of 4 KiB of its own. A fragment may be held as long as one likes, and end on any thread
/// and in any order: its buffer goes back to the kernel with the next call.
///
/// When every buffer is held the kernel ends the request (`ENOMEM`) and the bytes stay in the
/// socket: the call then returns ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, and the first one
/// after a fragment has ended begins a new request. No byte is lost.
///
/// Device memory: the kernel writes through the CPU mapping, in calls of this receiver alone. Open
/// a bracket that allows writing around a batch of calls (`DMABuf.withCPUAccess(_:_:)`).
///
/// Thread rules: the thread that made it; it may end on any. Fragments that outlive it keep the
/// memory.
package struct ZeroCopyReceiver: ~Copyable, PacketReceiver {
  /// How much is taken at once, and whether calls wait.
  package struct Configuration: Hashable, Sendable {
    /// Fragments of one packet at most, 1 to 65536.
    package var fragmentLimit: Int
    /// Whether a call waits where nothing has come. (The socket itself is made a blocking one.)
    package var waits: Bool

    /// A configuration.
    package init(fragmentLimit: Int = 64, waits: Bool = true) {
      self.fragmentLimit = fragmentLimit
      self.waits = waits
    }
  }

  /// The one request of the ring.
  private static let request: UInt64 = 1
  /// Completions that a ring keeps at most (`IORING_MAX_CQ_ENTRIES`).
  private static let completionLimit = 1 << 16

  private let socket: OwnedFileDescriptor
  private let ring: URing
  private var area: ZeroCopyArea
  private let fragmentLimit: Int
  private let waits: Bool
  /// Whether a request is under way.
  private var isReceiving = false
  /// Whether the last request that ended had no buffer, and none has come back to the kernel since.
  private var isStarved = false
  private var isAtEnd = false
  /// What ended the stream; every later call throws it again.
  private var failure: URingError?
  /// What the receiver has done so far.
  package private(set) var statistics = URingReceiverStatistics()

  deinit {
    // For the socket, which the request would keep open. On another thread the kernel refuses, and
    // cancels some time after the ring was closed; it writes nothing meanwhile.
    if isReceiving { ring.cancel(userData: Self.request) }
  }

  /// A receiver for a connected TCP socket.
  /// - Parameters:
  ///   - stream: the socket. Made a blocking one, and closed with the receiver.
  ///   - memory: where the bytes go, all of it: nobody else may have it carved or bound. It needs a
  ///     CPU mapping whose source is the memory file.
  ///   - configuration: how much is taken at once.
  /// - Throws: ``URingError``: `.kernelUnsupported`, `.notPinnable`, `.permissionDenied`,
  ///   `.memoryLimit`, `.invalidConfiguration`, and as ``URing``; ``/Devmem/DevmemError`` where the
  ///   memory is bound already.
  package init(
    stream: consuming OwnedFileDescriptor, memory: DMABuf,
    configuration: Configuration = Configuration()
  ) throws {
    try URingError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 16)
    let capabilities = try ZeroCopyCapabilities.query()
    guard capabilities.hasNoDevice else {
      throw URingError(
        .kernelUnsupported, "receiving by zero copy without a network device",
        remedy: "This kernel has zero-copy receive with a card alone (no ZCRX_REG_NODEV): use"
          + " provided buffers, which any kernel since Linux 6.1 has.")
    }
    do throws(Errno) {
      try stream.setBlocking(true)
    } catch {
      throw URingError.receiving(error)
    }
    // A completion for each buffer and some to spare: the queue does not overflow, which would end
    // the request, unless the memory is larger than 256 MiB.
    let bufferCount = memory.byteCount / ZeroCopyArea.iovByteCount
    let ring = try URing(
      submissionCount: 2, completionCount: min(bufferCount + 4, Self.completionLimit),
      isZeroCopy: true)
    area = try ZeroCopyArea(memory, ring: ring, capabilities: capabilities)
    self.ring = ring
    socket = stream
    fragmentLimit = configuration.fragmentLimit
    waits = configuration.waits
  }

  /// The number of the io_uring's descriptor, for polling: readable when there is something to
  /// receive. Only a call of ``receive(into:)`` begins to receive: poll after one that said
  /// ``/DevmemNet/ReceiveOutcome/wouldBlock``.
  package var descriptorNumber: Int32 { ring.descriptorNumber }

  /// Buffers that somebody holds, or that have ended and wait for the next call.
  package var heldCount: Int { area.capacity - area.count }

  /// Gives buffers that have ended back to the kernel, as the next call of ``receive(into:)`` would.
  package mutating func returnEnded() throws(URingError) {
    do throws(Errno) {
      if try area.refill(ring, flushesAll: true) { isStarved = false }
    } catch {
      throw .receiving(error)
    }
  }

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
  /// empty. ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, always with `.payload`: the kernel has no
  /// buffer left; end some fragments and call again.
  /// - Precondition: the calling thread made the receiver; `packet` comes from ``makePacket()`` or
  ///   has at least that capacity.
  /// - Throws: ``URingError``, final: every later call throws it again. What had come before it is
  ///   received first.
  package mutating func receive(into packet: inout Packet) throws(URingError) -> ReceiveOutcome {
    precondition(packet.fragmentCapacity >= fragmentLimit, "packet has too little room")
    packet.removeAll()
    do throws(URingError) {
      return try receiveAvailable(into: &packet)
    } catch {
      failure = error
      throw error
    }
  }

  private mutating func receiveAvailable(
    into packet: inout Packet
  ) throws(URingError) -> ReceiveOutcome {
    var hasAsked = false
    while true {
      takeCompletions(into: &packet)
      if packet.fragmentCount > 0 {
        statistics.packets += 1
        return .packet
      }
      if let failure { throw failure }
      if isAtEnd { return .endOfStream }
      do throws(Errno) {
        // All of them before a request begins or waits: it must not starve beside a full ring.
        if try area.refill(ring, flushesAll: !isReceiving || waits || hasAsked) {
          isStarved = false
        }
        guard area.count > 0, !isStarved else {
          statistics.stalls += 1
          return .exhausted(.payload)
        }
        if !isReceiving {
          ring.prepareZeroCopyReceive(socket, into: area, userData: Self.request)
          isReceiving = true
          statistics.requests += 1
        } else if waits {
          statistics.waits += 1
          try ring.waitForCompletion()
          continue
        } else if hasAsked {
          return .wouldBlock
        }
        // The kernel does its work in here.
        hasAsked = true
        try ring.submit()
      } catch {
        throw .receiving(error)
      }
    }
  }

  /// Takes buffers out of completions until the packet is full.
  private mutating func takeCompletions(into packet: inout Packet) {
    while packet.fragmentCount < fragmentLimit, let completion = ring.popCompletion() {
      if !completion.isFollowed { isReceiving = false }
      guard completion.result <= 0 else {
        guard let netmem = area.take(completion.offset) else {
          failure = URingError(
            .systemCall, "receiving by zero copy",
            remedy: "The kernel filled a buffer that it did not have: somebody else writes to the"
              + " refill ring.")
          return
        }
        let byteCount = Int(completion.result)
        isStarved = false
        statistics.fragments += 1
        statistics.byteCount += byteCount
        packet.append(
          PayloadFragment(
            netmem: netmem,
            offsetInIOV: Int(completion.offset & UInt64(ZeroCopyArea.iovByteCount - 1)),
            byteCount: byteCount))
        continue
      }
      switch Errno(rawValue: 0 - completion.result) {
      case Errno(rawValue: 0): isAtEnd = true
      case .ENOMEM:
        statistics.starved += 1
        isStarved = true
      case .ENOSPC, .ECANCELED:
        // The queue of completions was full: once more, now that there is room.
        break
      case let errno: failure = .receiving(errno)
      }
    }
  }
}
