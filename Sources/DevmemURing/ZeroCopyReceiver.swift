// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemNet
package import DevmemSystem

/// Receives a stream by io_uring's zero-copy receive (`IORING_OP_RECV_ZC`): one connection of a
/// ``ZeroCopyInstance``.
///
/// A packet is what was complete at the time of the call: fragments in stream order, each in a
/// buffer of the instance's memory. A fragment may be held as long as one likes, and end on any
/// thread and in any order: its buffer goes back to the kernel with the next call.
///
/// When too many are held the call returns ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, and the
/// first one after some have ended goes on. The bytes stay in the socket, or with the sender: none
/// is lost.
///
/// Device memory: without a card the kernel writes through the CPU mapping, in calls of this
/// receiver alone. Open a bracket that allows writing around a batch of calls
/// (`DMABuf.withCPUAccess(_:_:)`).
///
/// Thread rules: the thread that made the instance; it may end on any. Fragments that outlive it
/// keep the memory.
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

  /// Whose connection it is.
  package let instance: ZeroCopyInstance
  private let connection: ZeroCopyConnection
  private let fragmentLimit: Int
  private let waits: Bool

  deinit { instance.disconnect(connection) }

  /// A receiver for a connected TCP socket without a card, on an instance of its own.
  /// - Parameters:
  ///   - stream: the socket. Made a blocking one, and closed with the receiver.
  ///   - memory: where the bytes go: it needs a CPU mapping whose source is the memory file.
  ///   - configuration: how much is taken at once.
  /// - Throws: as ``ZeroCopyInstance`` and ``init(stream:over:configuration:)``.
  package init(
    stream: consuming OwnedFileDescriptor, memory: DMABuf,
    configuration: Configuration = Configuration()
  ) throws {
    try URingError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 16)
    try self.init(
      stream: stream, over: ZeroCopyInstance(memory: memory, from: .anySocket),
      configuration: configuration)
  }

  /// A receiver for a connected TCP socket.
  /// - Parameters:
  ///   - stream: the socket, over a card one whose flow is steered to the queue. Made a blocking
  ///     one, and closed with the receiver.
  ///   - instance: where the bytes go.
  ///   - configuration: how much is taken at once.
  /// - Throws: ``URingError``: `.invalidConfiguration`, `.notASocket`.
  package init(
    stream: consuming OwnedFileDescriptor, over instance: ZeroCopyInstance,
    configuration: Configuration = Configuration()
  ) throws(URingError) {
    try URingError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 16)
    do throws(Errno) {
      try stream.setBlocking(true)
    } catch {
      throw URingError.receiving(error)
    }
    self.instance = instance
    connection = instance.connect(stream)
    fragmentLimit = configuration.fragmentLimit
    waits = configuration.waits
  }

  /// What the receiver has done so far.
  package var statistics: URingReceiverStatistics { connection.statistics }

  /// The number of the io_uring's descriptor, for polling: readable when there is something to
  /// receive, for any connection of the instance: call each of them then. Only a call of
  /// ``receive(into:)`` begins to receive: poll after one that said
  /// ``/DevmemNet/ReceiveOutcome/wouldBlock``.
  package var descriptorNumber: Int32 { instance.ring.descriptorNumber }

  /// Buffers that somebody holds, or that have ended and wait for the next call.
  package var heldCount: Int { instance.heldCount }

  /// Gives buffers that have ended back to the kernel, as the next call of ``receive(into:)``
  /// would.
  package mutating func replenish() throws(URingError) {
    do throws(Errno) {
      try instance.replenish(isNeeded: !instance.isOverCard)
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
    if connection.hasPending { return true }
    return try instance.ring.wait(milliseconds: milliseconds)
  }

  /// Receives what has come into `packet`, whose former contents end first.
  ///
  /// Unless the outcome is ``/DevmemNet/ReceiveOutcome/packet``, `packet` is empty.
  /// ``/DevmemNet/ReceiveOutcome/exhausted(_:)``, always with `.payload`: the kernel has too few
  /// buffers left; end some fragments and call again. Allocates no memory, where the instance has
  /// one connection and does not grow.
  /// - Precondition: the calling thread made the instance; `packet` comes from ``makePacket()`` or
  ///   has at least that capacity.
  /// - Throws: ``URingError``, final: every later call throws it again. What had come before it is
  ///   received first.
  package mutating func receive(into packet: inout Packet) throws(URingError) -> ReceiveOutcome {
    precondition(packet.fragmentCapacity >= fragmentLimit, "packet has too little room")
    packet.removeAll()
    do throws(URingError) {
      return try receiveAvailable(into: &packet)
    } catch {
      connection.failure = error
      throw error
    }
  }

  private mutating func receiveAvailable(
    into packet: inout Packet
  ) throws(URingError) -> ReceiveOutcome {
    var hasAsked = false
    while true {
      takeArrivals(into: &packet)
      if instance.isDamaged {
        packet.removeAll()
        throw .fillingHeld
      }
      if packet.fragmentCount > 0 {
        connection.statistics.packets += 1
        return .packet
      }
      if let failure = connection.failure { throw failure }
      if connection.isAtEnd { return .endOfStream }
      do throws(Errno) {
        // All of them before a request begins or waits: it must not starve beside a full ring.
        let isNeeded =
          !instance.isOverCard
          ? !connection.isReceiving || waits || hasAsked
          : connection.isStarved(instance.generation)
        try instance.replenish(isNeeded: isNeeded)
        guard try hasBuffers() else {
          connection.statistics.stalls += 1
          return .exhausted(.payload)
        }
        if !connection.isReceiving {
          instance.prepareReceive(connection)
        } else if waits {
          connection.statistics.waits += 1
          try instance.waitForCompletion()
          continue
        } else if hasAsked {
          // A card may have too little because a ring has died with what it was handed.
          _ = try instance.inherit(isStarved: false)
          return .wouldBlock
        }
        // The kernel does its work in here.
        hasAsked = true
        try instance.submit()
      } catch {
        throw .receiving(error)
      }
    }
  }

  /// Whether the kernel has some to go on with.
  private func hasBuffers() throws(Errno) -> Bool {
    for isLast in [false, true] {
      let isStarved = connection.isStarved(instance.generation)
      if instance.count > instance.reserveCount && !isStarved { return true }
      guard !isLast, try instance.inherit(isStarved: isStarved) else { break }
    }
    return false
  }

  /// Takes buffers out of completions until the packet is full.
  private mutating func takeArrivals(into packet: inout Packet) {
    while packet.fragmentCount < fragmentLimit,
      let arrival = instance.nextArrival(for: connection)
    {
      guard let netmem = instance.take(arrival.offset) else { return }
      connection.statistics.fragments += 1
      connection.statistics.byteCount += arrival.byteCount
      packet.append(
        PayloadFragment(
          netmem: netmem, offsetInIOV: instance.offsetInIOV(arrival.offset),
          byteCount: arrival.byteCount))
    }
  }
}
