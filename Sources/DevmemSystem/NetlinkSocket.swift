// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A socket of generic netlink (netlink(7)), over libmnl, in the network namespace of the thread
/// that opened it. Closed when the value ends; what the kernel keeps for the socket ends with it.
///
/// One thread at a time may use it.
package struct NetlinkSocket: ~Copyable, Sendable {
  /// How often a dump is repeated that changes interrupted (`NLM_F_DUMP_INTR`).
  package static let dumpAttemptCount = 8

  private let handle: NetlinkHandle
  /// Answers carry the number of their request, so that late ones are told apart.
  private var sequence: UInt32 = 0
  private let timeLimit: Int32

  /// Opens a socket, asks for extended acks and strict checking.
  ///
  /// - Parameter timeLimit: how long to wait for an answer, in milliseconds, > 0. The kernel
  ///   answers before it returns from sending, so the limit is for what should not happen.
  /// - Throws: `EPROTONOSUPPORT` (a kernel without generic netlink), `EMFILE`, `ENOMEM`.
  package init(timeLimit: Int = 10_000) throws(Errno) {
    precondition(timeLimit > 0, "a time limit is positive")
    let handle = try NetlinkHandle()
    try handle.setStrict()
    try handle.setTimeLimit(milliseconds: timeLimit)
    self.handle = handle
    self.timeLimit = Int32(clamping: timeLimit)
  }

  /// The descriptor, for poll(2) and epoll(7): readable when notifications are waiting. Borrowed.
  package var descriptor: Int32 { handle.descriptor }

  /// The socket's address (`nl_pid`). For tests.
  package var port: UInt32 { handle.port }

  /// A family by its name.
  ///
  /// - Throws: `ENOENT` if the kernel has none of that name, else as ``request(_:)``.
  package mutating func family(named name: String) throws(NetlinkFailure) -> GenericNetlinkFamily {
    let replies = try request(GenericNetlinkFamily.question(name))
    guard let reply = replies.first, let family = GenericNetlinkFamily(reply.attributes) else {
      throw NetlinkFailure(.ENOENT, text: "the kernel's answer names no family")
    }
    return family
  }

  /// Sends a request and waits until the kernel has acknowledged it.
  ///
  /// - Returns: what the kernel answered before; often nothing.
  /// - Throws: what the kernel refused it with; `EAGAIN` if no answer came within the time limit.
  @discardableResult
  package mutating func request(
    _ request: NetlinkRequest
  ) throws(NetlinkFailure) -> [NetlinkMessage] {
    // NLM_F_REQUEST, NLM_F_ACK
    try converse(request, flags: 1 | 4).messages
  }

  /// Asks for all objects of a kind. Repeated if the list changed meanwhile, so that what comes is
  /// one consistent list.
  ///
  /// - Throws: as ``request(_:)``; `EAGAIN` if ``dumpAttemptCount`` attempts were interrupted.
  package mutating func dump(_ request: NetlinkRequest) throws(NetlinkFailure) -> [NetlinkMessage] {
    for _ in 0..<Self.dumpAttemptCount {
      // NLM_F_REQUEST, NLM_F_DUMP
      let answer = try converse(request, flags: 1 | 0x300)
      if !answer.isInterrupted { return answer.messages }
    }
    throw NetlinkFailure(
      .EAGAIN, text: "the list changed during each of \(Self.dumpAttemptCount) attempts to read it")
  }

  /// Has the notifications of a group sent to this socket. Use one socket for notifications and
  /// another one for requests: requests skip what is not theirs.
  ///
  /// - Throws: `ENOENT` (no such group), `EPERM`.
  package func join(group: UInt32) throws(Errno) {
    try handle.join(group: group)
  }

  /// Waits until a notification is there.
  ///
  /// - Parameter milliseconds: how long; -1 for ever.
  /// - Returns: false if the time has passed.
  /// - Throws: nothing that is expected.
  package func wait(milliseconds: Int) throws(Errno) -> Bool {
    // 1: readability.
    try system_wait(handle.descriptor, interest: 1, milliseconds: Int32(clamping: milliseconds))
  }

  /// Reads the notifications of one datagram; waits up to the time limit for it.
  ///
  /// - Throws: `EAGAIN` if none came, `ENOBUFS` if the kernel dropped some because nobody read: the
  ///   next call goes on with what came after.
  package func receiveNotifications() throws(Errno) -> [NetlinkMessage] {
    let bytes = try receive(before: Deadline(milliseconds: timeLimit))
    return Self.messages(in: bytes).compactMap { NetlinkMessage($0, in: bytes) }
  }

  /// Bytes of a datagram at most: the kernel fills 32 KiB in a dump (netlink_dump in
  /// net/netlink/af_netlink.c), and single answers are shorter.
  private static let bufferByteCount = 1 << 16

  /// One datagram. `SO_RCVTIMEO` alone would begin anew after each signal and each datagram.
  private func receive(before deadline: Deadline) throws(Errno) -> [UInt8] {
    if let answer = try SystemCallSeam.netlinkAnswer() { return answer }
    guard try wait(milliseconds: Int(deadline.milliseconds)) else { throw .EAGAIN }
    return try handle.receive(capacity: Self.bufferByteCount)
  }

  private struct Answer {
    var messages: [NetlinkMessage] = []
    var isInterrupted = false
    var isComplete = false
  }

  private mutating func converse(
    _ request: NetlinkRequest, flags: UInt16
  ) throws(NetlinkFailure) -> Answer {
    guard !request.isTooLong else {
      throw NetlinkFailure(.EMSGSIZE, text: "an attribute holds at most 65531 bytes")
    }
    sequence &+= 1
    let message = request.message(flags: flags, sequence: sequence)
    try NetlinkFailure.wrapping { () throws(Errno) in try handle.send(message) }
    var answer = Answer()
    let deadline = Deadline(milliseconds: timeLimit)
    while !answer.isComplete {
      // Also while others keep the socket busy.
      if deadline.milliseconds == 0 { throw NetlinkFailure(.EAGAIN) }
      let bytes = try NetlinkFailure.wrapping { () throws(Errno) in
        try receive(before: deadline)
      }
      for header in Self.messages(in: bytes)
      where header.sequence == sequence && header.port == handle.port {
        try take(header, in: bytes, into: &answer)
      }
    }
    return answer
  }

  private func take(
    _ header: csystem_netlink_message, in bytes: [UInt8], into answer: inout Answer
  ) throws(NetlinkFailure) {
    // NLM_F_DUMP_INTR
    if header.flags & 0x10 != 0 { answer.isInterrupted = true }
    switch header.type {
    case 1: break  // NLMSG_NOOP
    case 2, 3:  // NLMSG_ERROR, which also acknowledges; NLMSG_DONE
      if let failure = NetlinkFailure(verdict: header, in: bytes) { throw failure }
      answer.isComplete = true
    default:
      if let message = NetlinkMessage(header, in: bytes) { answer.messages.append(message) }
    }
  }

  private static func messages(in bytes: [UInt8]) -> [csystem_netlink_message] {
    var messages: [csystem_netlink_message] = []
    var message = csystem_netlink_message()
    unsafe bytes.withUnsafeBytes { bytes in
      while unsafe csystem_netlink_message_at(
        bytes.baseAddress, bytes.count, message.next_offset, &message) == 1
      {
        messages.append(message)
      }
    }
    return messages
  }
}

/// A message of a family: an answer, or a notification.
package struct NetlinkMessage: Sendable {
  /// The family's number.
  package let family: UInt16
  /// A number of the family's commands.
  package let command: UInt8
  /// What it says.
  package let attributes: NetlinkAttributes

  /// nil for what is too short to be one.
  fileprivate init?(_ header: csystem_netlink_message, in bytes: [UInt8]) {
    // struct genlmsghdr has 4 bytes, the command first. Below 16 are netlink's own messages.
    guard header.type >= 16, header.payload_count >= 4 else { return nil }
    family = header.type
    command = bytes[header.payload_offset]
    // A copy, so that one small message does not keep the whole datagram.
    let payload = bytes[header.payload_offset..<header.payload_offset + header.payload_count]
    attributes = NetlinkAttributes(Array(payload.dropFirst(4))[...])
  }
}

extension NetlinkFailure {
  /// What an error message or the end of a dump says; nil if it says that all is well.
  fileprivate init?(verdict header: csystem_netlink_message, in bytes: [UInt8]) {
    var header = header
    var verdict = csystem_netlink_verdict()
    let isRead = unsafe bytes.withUnsafeBytes {
      unsafe csystem_netlink_verdict_of($0.baseAddress, &header, &verdict)
    }
    guard isRead == 1 else {
      self.init(.EIO, text: "the kernel's answer is too short, or makes no sense")
      return
    }
    if verdict.error == 0 { return nil }
    let text = bytes[verdict.text_offset..<verdict.text_offset + verdict.text_count]
    self.init(
      Errno(rawValue: verdict.error),
      text: text.isEmpty ? nil : String(decoding: text, as: UTF8.self),
      badAttributeOffset: verdict.bad_attribute_offset < 0
        ? nil : Int(verdict.bad_attribute_offset),
      missingAttribute: UInt16(exactly: verdict.missing_attribute))
  }
}
