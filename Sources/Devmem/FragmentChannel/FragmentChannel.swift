// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// The lender's end of the socket to a reader of fragments, whatever memory they lie in: collects
/// fragments into batches, sends them, and takes tokens back. Never blocks, so that the two sides
/// can't wait for each other.
package struct FragmentChannel: ~Copyable {
  package let socket: UnixSocket
  private var outgoing = MessageBuffer()
  private var incoming = MessageBuffer()
  /// Fragments that wait to be sent.
  private var waiting: [FragmentEntry] = []
  /// Whether the first of them are in `outgoing`, complete, because the socket had no room.
  private var stuckCount = 0
  private var isFinishing = false
  /// Whether the reader has the memory.
  package private(set) var isReady = false
  /// What the reader said in the end.
  package private(set) var answer: [UInt8]?
  /// Fragments that the reader has, or that wait to be sent to it.
  package private(set) var outstandingCount = 0

  /// Whether nothing waits to be sent.
  package var isFlushed: Bool { waiting.isEmpty }

  /// - Parameter socket: made non-blocking here.
  /// - Throws: ``DevmemError/Code/systemCall``.
  package init(socket: UnixSocket) throws(DevmemError) {
    self.socket = socket
    try DevmemError.wrapping({ .step("preparing the socket to a reader of fragments", $0) }) {
      () throws(Errno) in try socket.descriptor.setBlocking(false)
    }
  }

  package mutating func append(token: UInt64, offset: UInt64, byteCount: Int) {
    waiting.append(FragmentEntry(token: token, offset: offset, byteCount: UInt32(byteCount)))
    outstandingCount += 1
  }

  /// Sends what waits.
  ///
  /// - Returns: false where the socket has no room for all of it.
  package mutating func flush() throws(DevmemError) -> Bool {
    while !waiting.isEmpty {
      if stuckCount == 0 {
        stuckCount = min(waiting.count, FragmentEntry.limit)
        outgoing.begin()
        for position in 0..<stuckCount { outgoing.append(waiting[position]) }
        outgoing.finish(MessageHeader(.batch, count: stuckCount))
      }
      guard try sendOutgoing() else { return false }
      waiting.removeFirst(stuckCount)
      stuckCount = 0
    }
    return true
  }

  /// Tells the reader, once, that there is no more. All tokens have to be back.
  ///
  /// - Returns: false where the socket has no room.
  package mutating func finish() throws(DevmemError) -> Bool {
    precondition(outstandingCount == 0, "fragments are still out")
    guard !isFinishing else { return true }
    outgoing.begin()
    outgoing.finish(MessageHeader(.finish, count: 0))
    isFinishing = try sendOutgoing()
    return isFinishing
  }

  /// Takes the messages that are there; `give` gets each token.
  ///
  /// - Throws: ``DevmemError/Code/peerClosed``, ``DevmemError/Code/peerFailed``,
  ///   ``DevmemError/Code/peerConfused``, and what `give` throws.
  package mutating func drain(
    _ give: (UInt64) throws(DevmemError) -> Void
  ) throws(DevmemError) {
    while answer == nil {
      do throws(Errno) {
        guard try incoming.receive(from: socket) else { throw .ECONNRESET }
      } catch {
        if error == .EAGAIN { return }
        // ECONNRESET also of a reader that was killed with unread batches in its socket.
        throw Self.ended(error)
      }
      try takeMessage(give)
    }
  }

  /// Nothing is out any more, because the reader has gone.
  package mutating func forgetAll() {
    waiting.removeAll()
    stuckCount = 0
    outstandingCount = 0
  }

  private mutating func takeMessage(
    _ give: (UInt64) throws(DevmemError) -> Void
  ) throws(DevmemError) {
    switch incoming.header?.message {
    case .ready?: isReady = true
    case .answer? where isFinishing: answer = incoming.payload
    case .failure?:
      throw DevmemError(
        .peerFailed, Self.operation, cause: String(decoding: incoming.payload, as: UTF8.self))
    case .tokens?:
      guard let count = incoming.header?.count, incoming.holds(count, of: UInt64.self),
        Int(count) <= outstandingCount - waiting.count
      else { fallthrough }
      for position in 0..<Int(count) {
        // Not before: what `give` refuses is still out.
        try give(incoming.element(position, as: UInt64.self))
        outstandingCount -= 1
      }
    default:
      throw DevmemError(
        .peerConfused, Self.operation, cause: "a message from the reader makes no sense")
    }
  }

  private mutating func sendOutgoing() throws(DevmemError) -> Bool {
    do throws(Errno) {
      try outgoing.send(over: socket)
      return true
    } catch {
      if error == .EAGAIN { return false }
      // A reader that failed says why before it goes: prefer that to a broken pipe. Tokens have no
      // meaning any more.
      try drain { _ throws(DevmemError) in }
      throw Self.ended(error)
    }
  }

  private static let operation = "lending fragments to another process"

  private static func ended(_ errno: Errno) -> DevmemError {
    DevmemError(
      .peerClosed, operation, underlying: errno,
      cause: "the reader of fragments went away in the middle of the transfer")
  }
}
