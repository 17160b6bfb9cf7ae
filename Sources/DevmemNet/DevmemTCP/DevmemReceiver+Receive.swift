// SPDX-License-Identifier: Apache-2.0

public import Devmem
import DevmemSystem

extension DevmemReceiver {
  /// Receives what is there into `packet`, whose former contents end first.
  ///
  /// Waits where the socket is a blocking one. Allocates no memory. Unless the outcome is
  /// ``ReceiveOutcome/packet``, `packet` is empty.
  ///
  /// ``ReceiveOutcome/exhausted(_:)`` with `.payload`: ``tokensOwed`` has reached
  /// ``Configuration/tokenLimit``; end some fragments. With `.header`: the pool of host buffers is
  /// empty. The data waits.
  /// - Precondition: the calling thread owns the pool of host buffers; `packet` comes from
  ///   ``makePacket()`` or has at least that capacity.
  /// - Throws: ``/Devmem/DevmemError``, final: every later call throws it again.
  public mutating func receive(
    into packet: inout Packet
  ) throws(DevmemError) -> ReceiveOutcome {
    precondition(packet.fragmentCapacity >= fragmentRoom, "packet has too little room")
    packet.removeAll()
    if let failure { throw failure }
    do throws(DevmemError) {
      return try receiveAvailable(into: &packet)
    } catch {
      packet.removeAll()
      window.removeAll()
      returns.setUrgent(true)
      failure = error
      throw error
    }
  }

  private mutating func receiveAvailable(
    into packet: inout Packet
  ) throws(DevmemError) -> ReceiveOutcome {
    returns.setUrgent(false)
    returns.flushFullBatches()
    var room = tokenLimit - returns.owed
    if room <= 0 {
      // Nothing more before fragments end: until then each one is returned at once.
      returns.setUrgent(true)
      room = tokenLimit - returns.owed
      guard room > 0 else {
        counts.stalls += 1
        return .exhausted(.payload)
      }
    }
    guard window.post() else { return .exhausted(.header) }
    let byteCount: Int
    do throws(Errno) {
      byteCount = try receiveOnce(messageLimit: min(room, control.capacity))
    } catch {
      if error == .EAGAIN { return .wouldBlock }
      throw .receiving(bindingID, error)
    }
    guard byteCount > 0 else {
      window.removeAll()
      return .endOfStream
    }
    try deliver(byteCount, into: &packet)
    return .packet
  }

  /// One message, after a wait if the socket is a blocking one.
  private mutating func receiveOnce(messageLimit: Int) throws(Errno) -> Int {
    do {
      return try unsafe control.receive(
        from: returns.socket, into: window.vectors.elements, messageLimit: messageLimit,
        waits: false)
    } catch {
      guard error == .EAGAIN else { throw error }
    }
    // The data may be waiting for memory that somebody is about to give back: while nothing comes,
    // tokens do not wait for company. It stays so until something has come.
    counts.waits += 1
    returns.setUrgent(true)
    let byteCount = try unsafe control.receive(
      from: returns.socket, into: window.vectors.elements, messageLimit: messageLimit, waits: true)
    returns.setUrgent(false)
    return byteCount
  }

  /// Makes fragments of what the kernel said about the last call's bytes.
  ///
  /// Every device fragment lies in the buffer, whatever the kernel says of another one: who made
  /// the receiver with a binding's id may have given another buffer along.
  mutating func deliver(
    _ byteCount: Int, into packet: inout Packet
  ) throws(DevmemError) {
    var described = 0
    var deviceCount = 0
    for position in 0..<control.count where !control[position].isLinear { deviceCount += 1 }
    // Before the first fragment can end.
    returns.issue(deviceCount)
    var foreignID: UInt32?
    var outside: DMABufMessage?
    for position in 0..<control.count {
      let message = control[position]
      described += Int(message.byteCount)
      if message.isLinear {
        window.cut(Int(message.byteCount), into: &packet.fragments)
        counts.linearByteCount += Int(message.byteCount)
        continue
      }
      if message.bindingID != bindingID { foreignID = message.bindingID }
      // Ends here, and returns its token, if it is not appended.
      let fragment = KernelFragment(returns: returns, token: message.token)
      guard returns.covers(message) else {
        outside = message
        continue
      }
      packet.fragments.append(
        PayloadFragment(
          storage: .device(fragment), start: Int(message.offset),
          byteCount: Int(message.byteCount)))
      counts.deviceFragments += 1
      counts.deviceByteCount += Int(message.byteCount)
    }
    if control.count == 0 {
      window.cut(byteCount, into: &packet.fragments)
      counts.unboundByteCount += byteCount
      described = byteCount
    }
    window.finishCutting()
    if control.isTruncated { counts.truncatedControls += 1 }
    // The fragments that were made end with the packet, and return their tokens.
    guard described == byteCount else {
      throw DevmemError(
        .controlTruncated, "receiving into dma-buf \(bindingID)",
        remedy: "The kernel described \(described) of \(byteCount) bytes; close the socket, which"
          + " returns the unknown tokens, and switch off what else sends control messages on it.")
    }
    if let foreignID {
      throw DevmemError(
        .foreignBinding, "receiving into dma-buf \(bindingID)",
        remedy: "The flow came into dma-buf \(foreignID): steer it to the queues of this binding.")
    }
    if let outside {
      throw DevmemError(
        .outsideBuffer, "receiving into dma-buf \(bindingID)",
        remedy:
          "The kernel put \(outside.byteCount) bytes at offset \(outside.offset) of a buffer that"
          + " is smaller here: give the receiver the buffer that is bound by this id.")
    }
    packet.payloadByteCount = byteCount
    counts.packets += 1
  }
}
