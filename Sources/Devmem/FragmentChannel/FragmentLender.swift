// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool
public import DevmemSystem

/// Lends fragments of a dma-buf to another process, which reads them by a ``FragmentReader``, and
/// puts their buffers into the pool as they come back.
///
/// One batch of fragments is one message of 24 bytes each; the bytes themselves stay where they
/// are. Nothing here blocks but ``wait(milliseconds:)``: a reader that is slow keeps buffers, and
/// nobody waits for it unawares. What comes from the reader is checked: a buffer comes back once,
/// and only if it was lent.
///
/// When the reader has gone, which every call says by ``DevmemError/Code/peerClosed``, all that it
/// had is in the pool again. A lender that is let go of before leaves out what the reader has,
/// because nobody knows whether it still reads: the pool goes on counting it as held.
///
/// For one thread at a time.
public final class FragmentLender {
  private let buffer: DMABuf
  private let reclaim: (NetmemToken) throws(NetmemTokenError) -> Netmem
  private var channel: FragmentChannel
  private var lent = LentTokens()

  deinit {
    // Only the end of the reader gives back what is still out.
    guard lentCount > 0 else { return }
    do throws(DevmemError) {
      try channel.drain { number throws(DevmemError) in
        if let token = lent.remove(number) { _ = try? reclaim(token) }
      }
    } catch {
      lent.removeAll { token in _ = try? reclaim(token) }
    }
  }

  /// Hands the dma-buf to the process at the other end of a socket, which makes a
  /// ``FragmentReader`` of it.
  ///
  /// - Parameters:
  ///   - buffer: the memory that all fragments lie in.
  ///   - socket: connected to the other process, of kind `UnixSocket.Kind.sequencedPacket`; does
  ///     not block from now on.
  ///   - reclaim: a pool's `reclaim`, of the pool that all fragments are of.
  /// - Throws: ``DevmemError/Code/peerClosed``, ``DevmemError/Code/systemCall``.
  public init(
    _ buffer: DMABuf, over socket: UnixSocket,
    reclaim: @escaping (NetmemToken) throws(NetmemTokenError) -> Netmem
  ) throws(DevmemError) {
    self.buffer = buffer
    self.reclaim = reclaim
    channel = try FragmentChannel(socket: socket)
    var hello = MessageBuffer()
    hello.begin()
    hello.finish(MessageHeader(.hello, count: 0, flag: buffer.isExported ? 1 : 0))
    try buffer.sendDescriptor(over: socket, message: hello.bytes)
  }

  /// The socket's descriptor, for an event loop: readable where ``collect()`` finds something.
  public var descriptorNumber: Int32 { channel.socket.descriptor.rawValue }

  /// Buffers that the reader has, or that wait to be sent to it.
  public var lentCount: Int { channel.outstandingCount }

  /// Whether the reader has said that it has the memory.
  package var isReady: Bool { channel.isReady }

  /// Lends bytes of a buffer. They are sent by ``flush()``.
  ///
  /// - Parameters:
  ///   - netmem: of the pool that ``init(_:over:reclaim:)`` named, and with no other reference.
  ///   - offset: of the first byte in the buffer.
  ///   - byteCount: how many; nil for the rest of the buffer. They have to lie in it (else this is
  ///     a programming error that traps).
  public func lend(
    _ netmem: consuming Netmem, offset: Int = 0, byteCount: Int? = nil
  ) {
    let room = netmem.byteCount
    precondition((0...room).contains(offset), "the fragment begins outside its buffer")
    let byteCount = byteCount ?? room - offset
    precondition((0...room - offset).contains(byteCount), "the fragment ends outside its buffer")
    let start = netmem.offset + UInt64(offset)
    let number = lent.insert(netmem.detach())
    channel.append(token: number, offset: start, byteCount: byteCount)
  }

  /// Sends what was lent and has not been sent.
  ///
  /// - Returns: false where the socket has no room for all of it: ``wait(milliseconds:)``, then
  ///   again.
  /// - Throws: ``DevmemError/Code/peerClosed``, ``DevmemError/Code/peerFailed``,
  ///   ``DevmemError/Code/peerConfused``.
  @discardableResult
  public func flush() throws(DevmemError) -> Bool {
    do throws(DevmemError) {
      return try channel.flush()
    } catch {
      throw reclaimAll(after: error)
    }
  }

  /// Gives the buffers back that have come back.
  ///
  /// - Throws: as ``flush()``.
  public func collect() throws(DevmemError) {
    do throws(DevmemError) {
      try channel.drain { number throws(DevmemError) in
        guard let token = lent.remove(number) else { throw Self.unknown }
        do throws(NetmemTokenError) {
          _ = try reclaim(token)
        } catch {
          throw DevmemError(
            .tokensRefused, "giving a buffer back to its pool", cause: "\(error)",
            remedy: "Lend buffers of the pool whose reclaim the lender was given.")
        }
      }
    } catch {
      throw reclaimAll(after: error)
    }
  }

  /// Waits until something has come from the reader, or, while something is unsent, there is room.
  ///
  /// - Parameter milliseconds: -1 waits for ever. Signals do not prolong it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  public func wait(milliseconds: Int32) throws(DevmemError) -> Bool {
    try DevmemError.wrapping({ .step("waiting for a reader of fragments", $0) }) {
      () throws(Errno) in
      let descriptor = channel.socket.descriptor.rawValue
      return channel.isFlushed
        ? try SystemProcess.waitUntilReadable(descriptor, milliseconds: milliseconds)
        : try SystemProcess.waitUntilReadableOrWritable(descriptor, milliseconds: milliseconds)
    }
  }

  /// Ends the transfer: sends what is unsent, collects, and once everything is back tells the
  /// reader that there is no more. Never blocks: to be called until it has an answer.
  ///
  /// - Returns: what the reader gave to ``FragmentReader/finish(_:)``; nil before.
  /// - Throws: as ``flush()``.
  public func finish() throws(DevmemError) -> [UInt8]? {
    guard try flush() else {
      try collect()
      return nil
    }
    try collect()
    guard lentCount == 0 else { return nil }
    do throws(DevmemError) {
      guard try channel.finish() else { return nil }
    } catch {
      throw reclaimAll(after: error)
    }
    try collect()
    return channel.answer
  }

  /// Nobody reads any more what a reader had that has gone.
  private func reclaimAll(after error: DevmemError) -> DevmemError {
    if error.code == .peerClosed {
      lent.removeAll { token in _ = try? reclaim(token) }
      channel.forgetAll()
    }
    return error
  }

  private static var unknown: DevmemError {
    DevmemError(
      .peerConfused, "lending fragments to another process",
      cause: "the reader returns what it never got")
  }
}

/// The tokens of what is lent, by the number that the reader knows each by: a place in a table in
/// the low half, and how often the place was used in the high half, so that a number is good once.
private struct LentTokens {
  private struct Place {
    var token: UInt64 = 0
    var uses: UInt32 = 0
    var isTaken = false
  }
  private var places: [Place] = []
  private var free: [UInt32] = []

  mutating func insert(_ token: NetmemToken) -> UInt64 {
    let index: UInt32
    if let last = free.popLast() {
      index = last
    } else {
      index = UInt32(places.count)
      places.append(Place())
    }
    places[Int(index)].token = token.rawValue
    places[Int(index)].isTaken = true
    return UInt64(places[Int(index)].uses) << 32 | UInt64(index)
  }

  mutating func remove(_ number: UInt64) -> NetmemToken? {
    let index = Int(UInt32(truncatingIfNeeded: number))
    guard index < places.count, places[index].isTaken,
      UInt64(places[index].uses) == number >> 32
    else { return nil }
    places[index].isTaken = false
    places[index].uses &+= 1
    free.append(UInt32(index))
    return NetmemToken(rawValue: places[index].token)
  }

  mutating func removeAll(_ body: (NetmemToken) -> Void) {
    for place in places where place.isTaken { body(NetmemToken(rawValue: place.token)) }
    self = LentTokens()
  }
}
