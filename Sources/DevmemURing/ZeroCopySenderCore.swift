// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import Devmem
internal import DevmemNet
internal import DevmemSystem

/// What a sender without copies has: the ring, and the packets that the kernel may still read.
///
/// A value, whose calls are one access each: in a class each variable is looked after anew.
@safe
struct ZeroCopySending: ~Copyable {
  /// A packet in flight.
  private struct Slot: ~Copyable {
    var packet: Packet
    /// Sends that have not completed, and those that were not notified.
    var sendCount = 0
    var notificationCount = 0

    var isFree: Bool { sendCount == 0 && notificationCount == 0 }
  }

  /// A stretch of bytes that is sent by one request.
  private struct Stretch {
    var start: UInt
    var byteCount: Int
    /// Of the registered memory; nil for what is sent ordinarily.
    var number: Int?
  }

  let ring: URing
  private let socket: OwnedFileDescriptor
  /// What is registered, kept mapped.
  private let memory: DMABuf
  private let mapping: DMABuf.CPUMapping
  private let configuration: ZeroCopySender.Configuration
  // SAFETY: `packetLimit` slots, all initialised; freed in deinit, when nothing is in flight.
  private let slots: UnsafeMutablePointer<Slot>
  /// The slots that are free, and the one whose sends are under way: one at a time, because only
  /// requests of one chain are sent in turn.
  private var freeSlots: [Int]
  private var pendingSlot: Int?
  private var pieces: [Stretch] = []
  // SAFETY: of this object alone, closed in deinit; nil where the kernel sends what lies in one
  // place alone.
  private let messages: OpaquePointer?
  private var failure: URingError?
  private(set) var statistics = ZeroCopySender.Statistics()

  init(
    socket: consuming OwnedFileDescriptor, ring: consuming URing, memory: DMABuf,
    mapping: DMABuf.CPUMapping, sendsMessages: Bool, configuration: ZeroCopySender.Configuration
  ) {
    if sendsMessages {
      unsafe messages = curing_messages_open(UInt32(configuration.fragmentLimit + 1))
    } else {
      unsafe messages = nil
    }
    self.socket = socket
    self.ring = ring
    self.memory = memory
    self.mapping = mapping
    self.configuration = configuration
    unsafe slots = .allocate(capacity: configuration.packetLimit)
    for index in 0..<configuration.packetLimit {
      unsafe (slots + index).initialize(
        to: Slot(packet: Packet(fragmentCapacity: configuration.fragmentLimit + 1)))
    }
    freeSlots = Array(0..<configuration.packetLimit)
    pieces.reserveCapacity(configuration.fragmentLimit + 1)
  }

  deinit {
    unsafe slots.deinitialize(count: configuration.packetLimit)
    unsafe slots.deallocate()
    unsafe curing_messages_close(messages)
  }

  /// Packets whose buffers the kernel may still read.
  var inFlightCount: Int { configuration.packetLimit - freeSlots.count }

  mutating func send(_ packet: inout Packet) throws(URingError) -> ZeroCopySender.Outcome {
    precondition(
      packet.fragmentCount <= configuration.fragmentLimit, "more fragments than the limit")
    if try resume() == .pending { return .wouldBlock }
    guard packet.headerByteCount > 0 || packet.fragmentCount > 0 else { return .sent }
    guard let slot = freeSlots.last else {
      statistics.refusals += 1
      return .tooMuchInFlight
    }
    for position in 0..<packet.fragmentCount {
      let isReadable = packet.withFragment(at: position) { unsafe $0.cpuAddress != nil }
      guard isReadable else {
        throw URingError(
          .unwritable, "sending by io_uring",
          remedy: "The memory has no CPU address: use DevmemSender, or a pool over DMABuf.udmabuf.")
      }
    }
    freeSlots.removeLast()
    pendingSlot = slot
    fill(slot, &packet)
    submit(slot)
    statistics.packets += 1
    return try resume()
  }

  /// Moves what is to be sent into a slot, and lists it: what lies side by side is one piece.
  private mutating func fill(_ slot: Int, _ packet: inout Packet) {
    pieces.removeAll(keepingCapacity: true)
    let headerByteCount = packet.headerByteCount
    let isPlain = packet.payloadByteCount < configuration.minimumByteCount
    if headerByteCount > 0, let header = packet.takeHeader() {
      move(
        PayloadFragment(netmem: header, offsetInIOV: 0, byteCount: headerByteCount), slot, true)
    }
    while let fragment = packet.popFirstFragment() { move(fragment, slot, isPlain) }
    packet.removeAll()
  }

  private mutating func move(_ fragment: consuming PayloadFragment, _ slot: Int, _ isPlain: Bool) {
    let byteCount = fragment.byteCount
    if byteCount > 0 {
      let start = UInt(bitPattern: unsafe fragment.cpuAddress)
      // Wraps round for what lies before it.
      let offset = start &- UInt(bitPattern: unsafe mapping.baseAddress)
      let isInside = offset < UInt(mapping.byteCount)
      let number = isPlain || !isInside ? nil : Int(offset) / Int(CURING_MEMORY_PIECE)
      if let last = pieces.indices.last, pieces[last].number == number,
        pieces[last].start + UInt(pieces[last].byteCount) == start
      {
        pieces[last].byteCount += byteCount
      } else {
        pieces.append(Stretch(start: start, byteCount: byteCount, number: number))
      }
    }
    unsafe slots[slot].packet.append(fragment)
  }

  private mutating func submit(_ slot: Int) {
    if let messages = unsafe messages { unsafe curing_messages_clear(messages) }
    var position = 0
    while position < pieces.count {
      let first = pieces[position]
      // What lies apart in the same registered piece goes by one request.
      var end = position + 1
      if unsafe messages != nil && first.number != nil {
        while end < pieces.count && pieces[end].number == first.number { end += 1 }
      }
      let isFollowed = end < pieces.count
      if end - position > 1, let messages = unsafe messages, let number = first.number {
        for part in pieces[position..<end] {
          unsafe curing_messages_add(
            messages, UnsafeRawPointer(bitPattern: part.start), part.byteCount)
        }
        unsafe ring.prepareSend(
          socket, messages, piece: number, isFollowed: isFollowed, userData: UInt64(slot))
      } else {
        let bytes = unsafe UnsafeRawBufferPointer(
          start: UnsafeRawPointer(bitPattern: first.start), count: first.byteCount)
        unsafe ring.prepareSend(
          socket, bytes, piece: first.number, isFollowed: isFollowed, userData: UInt64(slot))
      }
      let byteCount = pieces[position..<end].reduce(0) { $0 + $1.byteCount }
      if first.number == nil {
        statistics.plainByteCount += byteCount
      } else {
        statistics.calls += 1
        statistics.zeroCopyByteCount += byteCount
      }
      unsafe slots[slot].sendCount += 1
      position = end
    }
    // Where all of it was empty.
    release(slot)
  }

  /// Submits what is prepared and takes completions.
  mutating func resume() throws(URingError) -> ZeroCopySender.Outcome {
    if let failure {
      reap()
      throw failure
    }
    if pendingSlot != nil {
      do throws(Errno) {
        try ring.submit()
      } catch {
        failure = .sending(error)
      }
    }
    reap()
    if let failure { throw failure }
    return pendingSlot == nil ? .sent : .pending
  }

  mutating func reap() {
    while let completion = ring.popCompletion() {
      let slot = Int(completion.userData)
      if completion.isNotification {
        unsafe slots[slot].notificationCount -= 1
        statistics.completedCalls += 1
        if completion.wasCopied { statistics.copiedCalls += 1 }
      } else {
        unsafe slots[slot].sendCount -= 1
        // Also one that failed is notified, if it says so.
        if completion.isFollowed { unsafe slots[slot].notificationCount += 1 }
        // What follows in the chain says ECANCELED: the first one says why.
        if completion.result < 0 && failure == nil {
          failure = .sending(Errno(rawValue: 0 - completion.result))
        }
      }
      release(slot)
    }
  }

  private mutating func release(_ slot: Int) {
    if pendingSlot == slot, unsafe slots[slot].sendCount == 0 { pendingSlot = nil }
    guard unsafe slots[slot].isFree else { return }
    unsafe slots[slot].packet.removeAll()
    freeSlots.append(slot)
  }

  func wait(milliseconds: Int32) throws(URingError) -> Bool {
    do throws(Errno) {
      return try SystemProcess.waitUntilReadable(
        ring.descriptorNumber, milliseconds: milliseconds)
    } catch {
      throw .sending(error)
    }
  }

  func finish() throws(URingError) {
    precondition(pendingSlot == nil, "a packet is pending")
    do throws(Errno) {
      try socket.finishSending()
    } catch {
      throw .sending(error)
    }
  }

  /// Ends the connection in this direction, whatever is pending.
  func endConnection() { try? socket.finishSending() }

  /// Goes on whatever has failed.
  mutating func pump() {
    try? ring.submit()
    reap()
  }
}

/// What is being sent, as long as the kernel may read it: it outlives the sender until nothing is
/// in flight.
///
/// Thread rules: one at a time, any thread.
@safe
final class ZeroCopySenderCore: @unchecked Sendable {
  // SAFETY: initialised by init, deinitialised in deinit; accessed in the calls below alone.
  private let sending: UnsafeMutablePointer<ZeroCopySending>

  init(_ sending: consuming ZeroCopySending) {
    unsafe self.sending = .allocate(capacity: 1)
    unsafe self.sending.initialize(to: sending)
  }

  deinit {
    unsafe sending.deinitialize(count: 1)
    unsafe sending.deallocate()
  }

  var descriptorNumber: Int32 { unsafe sending.pointee.ring.descriptorNumber }

  /// Packets whose buffers the kernel may still read.
  var inFlightCount: Int { unsafe sending.pointee.inFlightCount }

  var statistics: ZeroCopySender.Statistics { unsafe sending.pointee.statistics }

  func send(_ packet: inout Packet) throws(URingError) -> ZeroCopySender.Outcome {
    try unsafe sending.pointee.send(&packet)
  }

  func resume() throws(URingError) -> ZeroCopySender.Outcome {
    try unsafe sending.pointee.resume()
  }

  func wait(milliseconds: Int32) throws(URingError) -> Bool {
    try unsafe sending.pointee.wait(milliseconds: milliseconds)
  }

  func finish() throws(URingError) { try unsafe sending.pointee.finish() }

  /// Keeps buffers until the kernel is done with them.
  func abandon() {
    unsafe sending.pointee.reap()
    guard inFlightCount > 0 else { return }
    unsafe sending.pointee.endConnection()
    // Mostly it is only a moment: a thread for that is not worth it.
    for _ in 0..<20 where inFlightCount > 0 {
      unsafe sending.pointee.pump()
      _ = try? wait(milliseconds: 1)
    }
    guard inFlightCount > 0 else { return }
    Task.detached { [self] in
      var pause = Duration.milliseconds(1)
      while inFlightCount > 0 {
        // Requests that were not submitted, after an error; the connection's end completes them
        // all.
        unsafe sending.pointee.pump()
        guard inFlightCount > 0 else { return }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .milliseconds(100))
      }
    }
  }
}
