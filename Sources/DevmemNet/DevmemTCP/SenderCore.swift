// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem

/// What a sender is made of: apart from it, so that it can live on until the kernel is done with
/// the last buffer.
///
/// @unchecked: used by the sender alone, and after the sender's end by one task alone.
final class SenderCore: @unchecked Sendable {
  let socket: OwnedFileDescriptor
  private let bindingID: UInt32
  private let binding: NetdevBinding?
  private let buffer: DMABuf?
  private let slab: NetIOVSlab?
  /// Changed from outside by tests alone, which have no card that would keep a call.
  var window: SendWindow
  private(set) var counts = DevmemSender.Statistics()
  private var vectors = VectorList(capacity: VectorList.limit)

  /// Whether a packet is partly sent, and how far: the fragment and the bytes of it.
  private var isPending = false
  private var position = 0
  private var sentOfFragment = 0
  /// What ended the stream; every later call throws it again.
  private var failure: DevmemError?

  init(
    socket: consuming OwnedFileDescriptor, bindingID: UInt32, binding: NetdevBinding?,
    buffer: DMABuf?, carving: DMABufCarving?, configuration: DevmemSender.Configuration
  ) {
    self.socket = socket
    self.bindingID = bindingID
    self.binding = binding
    self.buffer = buffer
    slab = carving?.slab
    window = SendWindow(
      callLimit: configuration.callLimit, fragmentLimit: configuration.fragmentLimit)
  }

  /// How a fragment is sent.
  private enum Way: Equatable {
    /// By its offset in the bound memory.
    case device
    /// By a copy out of memory that the CPU reads.
    case copy
    /// Not at all.
    case none
  }

  private func way(of fragment: borrowing PayloadFragment) -> Way {
    let isBound =
      switch fragment.storage {
      case .netmem(let netmem): slab?.index(of: netmem.iov) != nil
      case .device(let kernel): kernel.returns.buffer === buffer && buffer != nil
      }
    if isBound { return .device }
    return fragment.isReadable ? .copy : .none
  }

  // MARK: Sending

  func send(_ packet: inout Packet) throws(DevmemError) -> DevmemSender.Outcome {
    if let failure { throw failure }
    if isPending, try resume() == .pending { return .wouldBlock }
    let count = packet.fragmentCount + (packet.headerByteCount > 0 ? 1 : 0)
    try check(packet, count: count)
    // Half full: what is done may as well be taken now, before it is missed.
    if 2 * window.fragmentCount >= window.fragmentLimit || 2 * window.callCount >= window.callLimit
    {
      try reap()
    }
    if !window.hasRoom(forFragments: count) {
      try reap()
      guard window.hasRoom(forFragments: count) else {
        counts.refusals += 1
        return .tooMuchInFlight
      }
    }
    guard count > 0 else { return .sent }
    // The header goes first, as a fragment.
    let headerByteCount = packet.headerByteCount
    if let header = packet.takeHeader(), headerByteCount > 0 {
      headerList.append(PayloadFragment(netmem: header, offsetInIOV: 0, byteCount: headerByteCount))
      while let fragment = packet.popFirstFragment() { headerList.append(fragment) }
      window.open(&headerList)
    } else {
      window.open(&packet.fragments)
    }
    packet.removeAll()
    counts.packets += 1
    isPending = true
    position = 0
    sentOfFragment = 0
    return try resume()
  }

  /// A header and its fragments, on their way into the window.
  private var headerList = FragmentList(capacity: VectorList.limit)

  private func check(_ packet: borrowing Packet, count: Int) throws(DevmemError) {
    let operation = "sending from dma-buf \(bindingID)"
    let limit = min(VectorList.limit, window.fragmentLimit)
    guard count <= limit else {
      throw DevmemError(
        .tooManyFragments, operation,
        remedy: "A packet has \(count) fragments and may have \(limit): send smaller ones.")
    }
    for position in 0..<packet.fragmentCount {
      let way = packet.withFragment(at: position) { self.way(of: $0) }
      guard way != .none else {
        throw DevmemError(
          .foreignMemory, operation,
          remedy:
            "Fragment \(position) is not in the bound memory: allocate it from a pool over the"
            + " carving that the sender was made with. Other memory is copied only where the CPU "
            + "may"
            + " read it.")
      }
    }
  }

  func resume() throws(DevmemError) -> DevmemSender.Outcome {
    if let failure { throw failure }
    guard isPending else { return .sent }
    do throws(Errno) {
      while position < window.openFragmentCount {
        guard window.hasRoomForCall else { return .pending }
        try sendRun()
      }
    } catch {
      switch error {
      case .EAGAIN: return .pending
      case .ENOBUFS:
        // The kernel has no memory for another completion: take some away.
        if try reap() > 0 { return try resume() }
        return .pending
      default: throw fail(.sending(bindingID, error))
      }
    }
    isPending = false
    window.close()
    return .sent
  }

  /// Sends a run of fragments that go the same way, or part of it, by one call.
  private func sendRun() throws(Errno) {
    vectors.removeAll()
    let way = window.withOpenFragment(at: position) { self.way(of: $0) }
    var next = position
    var skipped = sentOfFragment
    while next < window.openFragmentCount {
      let isOfRun = window.withOpenFragment(at: next) { fragment in
        guard self.way(of: fragment) == way else { return false }
        let byteCount = fragment.byteCount - skipped
        guard byteCount > 0 else { return true }
        if way == .device {
          vectors.append(
            bufferOffset: fragment.offset + UInt64(skipped), byteCount: byteCount)
        } else {
          unsafe vectors.append(
            base: fragment.cpuAddress, offset: skipped, byteCount: byteCount)
        }
        return true
      }
      guard isOfRun else { break }
      next += 1
      skipped = 0
    }
    guard vectors.byteCount > 0 else {
      position = next
      return
    }
    let given = vectors.byteCount
    let sent: Int
    if way == .device {
      sent = try unsafe socket.sendDevmem(vectors.elements, bindingID: bindingID)
      window.count()
      counts.calls += 1
      counts.deviceByteCount += sent
      if sent < given { counts.partialCalls += 1 }
    } else {
      sent = try unsafe socket.send(vectors.elements)
      counts.copiedByteCount += sent
    }
    advance(by: sent)
  }

  private func advance(by byteCount: Int) {
    var rest = byteCount
    while rest > 0 {
      let left = window.withOpenFragment(at: position) { $0.byteCount } - sentOfFragment
      guard rest >= left else {
        sentOfFragment += rest
        return
      }
      rest -= left
      position += 1
      sentOfFragment = 0
    }
  }

  /// The stream is of no more use; what its calls keep is kept.
  private func fail(_ error: DevmemError) -> DevmemError {
    if isPending { window.close() }
    isPending = false
    failure = error
    return error
  }

  func sendAll(_ packet: inout Packet) throws(DevmemError) {
    while true {
      switch try send(&packet) {
      case .sent: return
      case .tooMuchInFlight:
        // Half of it, so that the next packets find room.
        _ = try awaitCompletions(leaving: window.callCount / 2, milliseconds: -1)
      case .pending, .wouldBlock:
        try waitForRoom()
        if try resume() == .sent, packet.fragmentCount == 0, packet.headerByteCount == 0 { return }
      }
    }
  }

  private func waitForRoom() throws(DevmemError) {
    if !window.hasRoomForCall {
      _ = try awaitCompletions(leaving: window.callCount / 2, milliseconds: -1)
      return
    }
    do {
      _ = try socket.wait(for: .writable, milliseconds: -1)
    } catch {
      throw .step("waiting for room to send", error)
    }
    try reap()
  }

  // MARK: Completions

  @discardableResult
  func reap() throws(DevmemError) -> Int {
    var done = 0
    do {
      while let completion = try socket.readCompletion() {
        let count = window.complete(first: completion.first, last: completion.last)
        done += count
        counts.completionMessages += 1
        counts.completedCalls += count
        if completion.isCopied { counts.copiedCalls += count }
      }
    } catch {
      throw .step("reading completions of dma-buf \(bindingID)", error)
    }
    return done
  }

  func awaitCompletions(leaving count: Int, milliseconds: Int32) throws(DevmemError) -> Bool {
    precondition(count >= 0, "negative number of calls")
    var deadline = Deadline(milliseconds: milliseconds)
    while true {
      let done = try reap()
      if window.callCount <= count { return true }
      if done > 0 {
        deadline = Deadline(milliseconds: milliseconds)
        continue
      }
      do {
        let left = deadline.milliseconds
        guard try socket.wait(for: .completion, milliseconds: left) else { return false }
      } catch {
        throw .step("waiting for completions of dma-buf \(bindingID)", error)
      }
      // A connection that is over keeps poll(2) awake without a completion: the card has the last
      // buffers. Look again a little later.
      guard try reap() == 0 else {
        deadline = Deadline(milliseconds: milliseconds)
        continue
      }
      if deadline.milliseconds == 0 { return false }
      SystemProcess.pause(milliseconds: 1)
    }
  }

  func finish() throws(DevmemError) {
    precondition(!isPending, "a packet is pending: resume it before finishing")
    do {
      try socket.finishSending()
    } catch {
      throw .step("finishing a connection", error)
    }
  }

  // MARK: The end

  /// The sender has gone. What is in flight stays until the kernel is done with it.
  func abandon() {
    if isPending { window.close() }
    isPending = false
    guard !window.isEmpty else { return }
    try? socket.finishSending()
    Task.detached { [self] in
      var pause = Duration.milliseconds(1)
      while !window.isEmpty {
        // An error of the connection ends nothing: the kernel completes what it throws away, too.
        _ = try? reap()
        guard !window.isEmpty else { return }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .milliseconds(100))
      }
    }
  }
}
