// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// The demo's end of the socket to a fragment reader: collects fragments into batches, sends them,
/// and takes tokens back. Never blocks in a send without also taking tokens, so that the two sides
/// can't wait for each other.
struct FragmentChannel: ~Copyable {
  let socket: UnixSocket
  /// How the reader is waited for.
  private let patience: PeerWait
  private var outgoing = MessageBuffer()
  private var incoming = MessageBuffer()
  private var count = 0
  /// Fragments that the reader has, or that wait to be sent to it.
  private(set) var outstandingCount = 0

  /// - Parameter socket: made non-blocking here, and blocking again by ``finishBatches()``.
  init(socket: UnixSocket, patience: PeerWait) throws(CommandError) {
    self.socket = socket
    self.patience = patience
    outgoing.begin()
    try setBlocking(false)
  }

  /// Whether the batch has to be flushed before the next fragment.
  var isFull: Bool { count == FragmentEntry.limit }

  mutating func append(token: UInt64, offset: UInt64, byteCount: Int) {
    outgoing.append(
      FragmentEntry(token: token, offset: offset, byteCount: UInt32(byteCount)))
    count += 1
    outstandingCount += 1
  }

  /// Sends the batch; `give` gets each token that arrives meanwhile.
  mutating func flush(_ give: (UInt64) throws -> Void) throws {
    guard count > 0 else { return }
    outgoing.finish(MessageHeader(.batch, count: count))
    while true {
      do {
        try outgoing.send(over: socket)
        break
      } catch {
        guard error == .EAGAIN else { throw try reasonOfEnd(error) }
      }
      try wait(for: Int16(POLLIN) | Int16(POLLOUT))
      try drain(give)
    }
    outgoing.begin()
    count = 0
  }

  /// Takes the tokens that are there.
  mutating func drain(_ give: (UInt64) throws -> Void) throws {
    while outstandingCount > count {
      do {
        guard try incoming.receive(from: socket) else { throw CommandError(Self.ended) }
      } catch let error as Errno {
        if error == .EAGAIN { return }
        // Killed with unread batches in its socket.
        throw CommandError("\(Self.ended): \(error)")
      }
      try takeTokens(give)
    }
  }

  /// Waits for at least one message of tokens, then takes all that are there.
  mutating func waitForTokens(_ give: (UInt64) throws -> Void) throws {
    try wait(for: Int16(POLLIN))
    try drain(give)
  }

  /// Tells the reader that there is no more, and leaves the socket blocking for its answer. All
  /// tokens have to be back.
  mutating func finishBatches() throws {
    precondition(outstandingCount == 0, "fragments are still out")
    outgoing.finish(MessageHeader(.finish, count: 0))
    while true {
      do {
        try outgoing.send(over: socket)
        break
      } catch {
        guard error == .EAGAIN else { throw try reasonOfEnd(error) }
      }
      try wait(for: Int16(POLLOUT))
    }
    try setBlocking(true)
  }

  private mutating func takeTokens(_ give: (UInt64) throws -> Void) throws {
    guard let header = incoming.header else {
      throw CommandError("a message from the reader of fragments makes no sense")
    }
    if header.message == .failure {
      throw CommandError("importer: " + String(decoding: incoming.payload, as: UTF8.self))
    }
    guard header.message == .tokens, incoming.holds(header.count, of: UInt64.self),
      Int(header.count) <= outstandingCount
    else { throw CommandError("the reader of fragments returns what it never got") }
    for position in 0..<Int(header.count) {
      try give(incoming.element(position, as: UInt64.self))
    }
    outstandingCount -= Int(header.count)
  }

  private static let ended = "the reader of fragments went away in the middle of the transfer"

  /// A reader that failed says why before it goes: prefer that to a broken pipe.
  private mutating func reasonOfEnd(_ error: Errno) throws -> CommandError {
    try? drain { _ in }
    if incoming.header?.message == .failure {
      return CommandError("importer: " + String(decoding: incoming.payload, as: UTF8.self))
    }
    return CommandError("\(Self.ended): \(error)")
  }

  private func wait(for events: Int16) throws(CommandError) {
    try patience.wait(for: socket.descriptor.rawValue, events)
  }

  private func setBlocking(_ isBlocking: Bool) throws(CommandError) {
    let number = socket.descriptor.rawValue
    let flags = fcntl(number, F_GETFL)
    guard flags >= 0,
      fcntl(number, F_SETFL, isBlocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0
    else { throw CommandError("preparing the socket to the reader", Errno(rawValue: errno)) }
  }
}
