// SPDX-License-Identifier: Apache-2.0

public import Devmem
public import DevmemNIC
public import DevmemSystem

/// Sends by the kernel's device memory TCP: the network card reads payload straight out of the
/// dma-buf that is bound to it, and no CPU touches it (Documentation/networking/devmem.rst;
/// `zerocopy_fill_skb_from_devmem`, net/core/datagram.c).
///
/// A packet's fragments are buffers of pools over the bound memory (`DMABufCarving` carves it), or
/// device fragments as ``DevmemReceiver`` gives them if the same buffer is bound for both. They
/// leave in order, by one system call where the socket takes it all. Its header, and fragments of
/// readable host memory, are copied, by calls of their own. The sender keeps every fragment until
/// the kernel says that nothing reads it any more; only then is the buffer back in its pool.
///
/// Back-pressure: a packet that is not taken stays with the caller (``Outcome``). When the sender
/// ends with calls in flight, it ends the connection in its direction, and the buffers of those
/// calls are kept until the kernel says that it is done with them: none is reused before. The
/// kernel is done when the peer has acknowledged the bytes, so a peer that reads nothing keeps them
/// out of their pool for as long as the connection lasts.
///
/// Costs of a packet: one `sendmsg`; one `recvmsg` of the error queue for each range of
/// completions. No memory is allocated. Writing into the buffers is the caller's:
/// `DMABuf.withCPUAccess(_:_:)`.
///
/// Thread rules: it may move between threads; one call at a time. Fragments end on the thread that
/// calls, after the sender's end on any.
public struct DevmemSender: ~Copyable {
  /// What a call to send came to.
  public enum Outcome: Hashable, Sendable {
    /// The packet is with the kernel.
    case sent
    /// The packet is taken, but not all of it is with the kernel: call ``DevmemSender/resume()``
    /// when the socket has room. Only on sockets that do not block, or when the kernel has no
    /// memory for another completion.
    case pending
    /// The packet is not taken: the one before is still pending.
    case wouldBlock
    /// The packet is not taken: there is too much in flight; see
    /// ``DevmemSender/awaitCompletions(leaving:milliseconds:)``.
    case tooMuchInFlight
  }

  let core: SenderCore

  deinit { core.abandon() }

  /// A sender on a connected TCP socket.
  /// - Parameters:
  ///   - stream: the socket, blocking or not, on which nobody has made a zero-copy send yet. Closed
  ///     when the sender has ended and all is completed.
  ///   - binding: the memory, bound for sending to the device by which the route to the peer
  ///     leaves. Kept as long as anything is in flight.
  ///   - carving: the same buffer, carved into what pools hand out; nil to send received fragments
  ///     only.
  ///   - configuration: how much may be in flight.
  /// - Throws: ``/Devmem/DevmemError``: `.wrongDirection`, `.foreignMemory` if `carving` is of
  ///   another buffer, `.notTCP`, `.invalidConfiguration`.
  public init(
    stream: consuming OwnedFileDescriptor, binding: NetdevBinding, carving: DMABufCarving? = nil,
    configuration: Configuration = Configuration()
  ) throws(DevmemError) {
    let operation = "sending from dma-buf \(binding.id)"
    guard case .transmit = binding.direction else {
      throw DevmemError(
        .wrongDirection, operation,
        remedy: "The memory is bound for receiving: bind it with NetdevBinding.transmit.")
    }
    guard carving.map({ $0.buffer === binding.buffer }) ?? true else {
      throw DevmemError(
        .foreignMemory, operation, remedy: "Carve the buffer that is bound, not another one.")
    }
    try DevmemError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 24)
    try DevmemError.check("callLimit", configuration.callLimit, in: 1...1 << 24)
    do {
      try stream.setZerocopy(true)
    } catch {
      throw .probing(error)
    }
    core = SenderCore(
      socket: stream, bindingID: binding.id, binding: binding, buffer: binding.buffer,
      carving: carving, configuration: configuration)
  }

  /// The socket's number, for polling and socket options.
  public var descriptorNumber: Int32 { core.socket.rawValue }

  /// Sends a packet, or takes what the socket does not take yet.
  ///
  /// - Parameter packet: with ``Outcome/sent`` and ``Outcome/pending`` it is empty afterwards; else
  ///   it is unchanged.
  /// - Throws: ``/Devmem/DevmemError``: `.foreignMemory` for a fragment that is neither in the
  ///   bound memory nor readable host memory, and `.tooManyFragments`, leave the packet unchanged.
  ///   The others, `.notBound`, `.wrongDevice`, `.connectionLost` and `.systemCall`, are final:
  ///   every later call throws the same error.
  public mutating func send(_ packet: inout Packet) throws(DevmemError) -> Outcome {
    try core.send(&packet)
  }

  /// Sends a packet completely, and waits for room and for completions where it has to.
  /// - Throws: as ``send(_:)``.
  public mutating func sendAll(_ packet: inout Packet) throws(DevmemError) {
    try core.sendAll(&packet)
  }

  /// Goes on with a packet that is pending.
  /// - Returns: ``Outcome/sent`` if nothing is pending any more, else ``Outcome/pending``.
  /// - Throws: as ``send(_:)``.
  @discardableResult
  public mutating func resume() throws(DevmemError) -> Outcome { try core.resume() }

  /// Takes the completions that are there, so that buffers go back to their pools. Never waits.
  /// - Returns: how many calls are done.
  @discardableResult
  public mutating func reapCompletions() throws(DevmemError) -> Int { try core.reap() }

  /// Waits for completions.
  /// - Parameters:
  ///   - count: calls that may still be in flight afterwards, 0 or more.
  ///   - milliseconds: how long to wait for one more completion; -1 for ever.
  /// - Returns: false when the time was up.
  public mutating func awaitCompletions(
    leaving count: Int = 0, milliseconds: Int32 = -1
  ) throws(DevmemError) -> Bool {
    try core.awaitCompletions(leaving: count, milliseconds: milliseconds)
  }

  /// Tells the peer that nothing more will come. What is in flight still goes out.
  /// - Throws: `.connectionLost`; what is pending has to be resumed first.
  public mutating func finish() throws(DevmemError) { try core.finish() }

  /// Zero-copy calls that the kernel is not done with.
  public var callsInFlight: Int { core.window.callCount }
  /// Fragments that the kernel may still read.
  public var fragmentsInFlight: Int { core.window.fragmentCount }
  /// Bytes in those fragments.
  public var bytesInFlight: Int { core.window.byteCount }
  /// What the sender has done so far.
  public var statistics: Statistics {
    var all = core.counts
    all.unexpectedCompletions = core.window.unexpectedCount
    return all
  }
}
