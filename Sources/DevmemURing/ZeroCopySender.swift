// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemNet
package import DevmemSystem

/// Sends packets by io_uring without copying (`IORING_OP_SEND_ZC`, Linux 6.2) out of memory that
/// was registered once (`IORING_REGISTER_BUFFERS`): buffers of any pools over a dma-buf's CPU
/// mapping.
///
/// The sender keeps every fragment until the kernel says that nothing reads it any more; only then
/// is the buffer back in its pool. Packets below ``Configuration/minimumByteCount``, and what lies
/// outside of the registered memory (headers above all), are sent ordinarily.
///
/// Back-pressure: a packet that is not taken stays with the caller (``Outcome``). When the sender
/// ends with packets in flight, it ends the connection in its direction, and their buffers are kept
/// until the kernel is done with them: none is reused before.
///
/// Costs of a packet: one system call where the socket takes it all, and one request for all of its
/// fragments (`IORING_OP_SENDMSG_ZC` out of registered memory, Linux 6.15; before, one for each
/// that lies apart). No memory is allocated.
/// Device memory is read through the buffers' CPU addresses until it was notified: open a bracket
/// that allows reading.
///
/// Thread rules: it may move between threads; one call at a time. Fragments end on the thread that
/// calls, after the sender's end on any.
package struct ZeroCopySender: ~Copyable {
  /// What a call to send came to; as of the sender by device memory TCP.
  package typealias Outcome = DevmemSender.Outcome

  /// How much may be in flight.
  package struct Configuration: Hashable, Sendable {
    /// Packets in flight at most, 1 to 4096.
    package var packetLimit: Int
    /// Fragments of one packet at most, 1 to 1024.
    package var fragmentLimit: Int
    /// Bytes of a packet below which it is copied: to let go of pages costs more than that.
    package var minimumByteCount: Int

    /// A configuration.
    package init(
      packetLimit: Int = 64, fragmentLimit: Int = 256, minimumByteCount: Int = 16 << 10
    ) {
      self.packetLimit = packetLimit
      self.fragmentLimit = fragmentLimit
      self.minimumByteCount = minimumByteCount
    }
  }

  /// What a sender has done so far.
  package struct Statistics: Hashable, Sendable {
    /// Packets taken.
    package var packets = 0
    /// Bytes that were given to the kernel without a copy, and ordinarily.
    package var zeroCopyByteCount = 0
    package var plainByteCount = 0
    /// Sends without a copy: requests, whose bytes may lie in several places.
    package var calls = 0
    /// Of those, the ones that nothing reads any more.
    package var completedCalls = 0
    /// Of those, the ones for which the kernel copied after all: over loopback, all of them.
    package var copiedCalls = 0
    /// Packets that were not taken because too much was in flight.
    package var refusals = 0

    /// Nothing yet.
    package init() {}
  }

  private let core: ZeroCopySenderCore

  deinit { core.abandon() }

  /// A sender on a connected TCP socket.
  /// - Parameters:
  ///   - stream: the socket. Made a blocking one (the kernel waits for room, calls do not), and
  ///     closed when the sender has ended and nothing is in flight.
  ///   - memory: what is registered: all of its CPU mapping, whose source has to be the memory
  ///     file.
  ///   - configuration: how much may be in flight.
  /// - Throws: ``URingError``: `.unwritable`, `.notPinnable`, `.memoryLimit`,
  ///   `.invalidConfiguration`, and as ``URing``.
  package init(
    stream: consuming OwnedFileDescriptor, memory: DMABuf,
    configuration: Configuration = Configuration()
  ) throws(URingError) {
    try URingError.check("packetLimit", configuration.packetLimit, in: 1...4096)
    try URingError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1024)
    try URingError.check("minimumByteCount", configuration.minimumByteCount, in: 0...1 << 40)
    guard let mapping = memory.cpuMapping else {
      throw URingError(
        .unwritable, "registering memory with an io_uring",
        remedy: "The dma-buf has no CPU mapping: use DevmemSender, or DMABuf.udmabuf.")
    }
    do throws(Errno) {
      try stream.setBlocking(true)
    } catch {
      throw .sending(error)
    }
    // A header is a fragment more.
    let callCount = configuration.fragmentLimit + 1
    let ring = try URing(
      submissionCount: callCount,
      completionCount: min(2 * callCount * configuration.packetLimit, 1 << 16))
    let sendsMessages: Bool
    do throws(Errno) {
      try unsafe uring_registerMemory(ring.ring, mapping.bytes)
      sendsMessages = try unsafe uring_sendsMessages(ring.ring, mapping.baseAddress)
    } catch {
      throw .registeringMemory(error, source: mapping.source)
    }
    core = ZeroCopySenderCore(
      ZeroCopySending(
        socket: stream, ring: ring, memory: memory, mapping: mapping, sendsMessages: sendsMessages,
        configuration: configuration))
  }

  /// The number to poll: readable when there are completions. Borrowed.
  package var descriptorNumber: Int32 { core.descriptorNumber }

  /// Sends a packet, or takes what the socket does not take yet.
  /// - Parameter packet: with ``Outcome/sent`` and ``Outcome/pending`` it is empty afterwards; else
  ///   it is unchanged.
  /// - Precondition: no more fragments than the configuration says.
  /// - Throws: ``URingError``: `.unwritable` for a fragment that has no CPU address leaves the
  ///   packet unchanged. The others are final: every later call throws the same error.
  package mutating func send(_ packet: inout Packet) throws(URingError) -> Outcome {
    try core.send(&packet)
  }

  /// Sends a packet completely, and waits for room and for notifications where it has to.
  /// - Throws: as ``send(_:)``.
  package mutating func sendAll(_ packet: inout Packet) throws(URingError) {
    while true {
      switch try core.send(&packet) {
      case .sent: return
      case .tooMuchInFlight: _ = try awaitCompletions(leaving: packetsInFlight - 1)
      case .pending, .wouldBlock:
        while try core.resume() == .pending { _ = try core.wait(milliseconds: -1) }
        if packet.fragmentCount == 0 && packet.headerByteCount == 0 { return }
      }
    }
  }

  /// Goes on with a packet that is pending.
  /// - Returns: ``Outcome/sent`` if nothing is pending any more, else ``Outcome/pending``.
  @discardableResult
  package mutating func resume() throws(URingError) -> Outcome { try core.resume() }

  /// Takes the notifications that are there, so that buffers go back to their pools. Never waits.
  package mutating func reapCompletions() throws(URingError) { _ = try core.resume() }

  /// Waits for notifications.
  /// - Parameters:
  ///   - count: packets that may still be in flight afterwards, 0 or more.
  ///   - milliseconds: how long to wait for one more; -1 for ever.
  /// - Returns: false when the time was up.
  package mutating func awaitCompletions(
    leaving count: Int = 0, milliseconds: Int32 = -1
  ) throws(URingError) -> Bool {
    while true {
      _ = try core.resume()
      if core.inFlightCount <= count { return true }
      if try !core.wait(milliseconds: milliseconds) { return false }
    }
  }

  /// Tells the peer that nothing more will come. What is in flight still goes out.
  /// - Precondition: nothing is pending.
  package mutating func finish() throws(URingError) { try core.finish() }

  /// Packets whose buffers the kernel may still read.
  package var packetsInFlight: Int { core.inFlightCount }

  /// What the sender has done so far.
  package var statistics: Statistics { core.statistics }
}
