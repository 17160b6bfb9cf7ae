// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

extension HeaderSplitReceiver {
  /// One packet from a stream, continuing where the last call stopped.
  mutating func receiveFromStream(
    _ framing: HeaderFraming, into packet: inout Packet
  ) throws(HeaderSplitError) -> ReceiveOutcome {
    if let failure { throw failure }
    do throws(HeaderSplitError) {
      if let outcome = try receiveHeader() { return outcome }
      if let outcome = try receivePayload(try announcedByteCount(framing)) { return outcome }
    } catch {
      // The stream is out of step for good.
      releaseBuffers()
      failure = error
      throw error
    }
    deliver(payloadByteCount: payloadFilled, into: &packet)
    header = nextHeader.take()
    headerFilled = nextHeaderFilled
    nextHeaderFilled = 0
    payloadByteCount = nil
    payloadFilled = 0
    return .packet
  }

  /// Completes the header; nil when it is complete.
  private mutating func receiveHeader() throws(HeaderSplitError) -> ReceiveOutcome? {
    while headerFilled < headerByteCount {
      if header == nil {
        guard let netmem = try allocateHeader() else { return .exhausted(.header) }
        header = consume netmem
      }
      vectors.removeAll()
      unsafe vectors.append(
        base: header?.cpuAddress, offset: headerFilled, byteCount: headerByteCount - headerFilled)
      switch try socket.receive(vectors) {
      case nil: return .wouldBlock
      case 0?:
        guard headerFilled == 0 else {
          throw .truncatedHeader(
            receivedByteCount: headerFilled, expectedByteCount: headerByteCount)
        }
        releaseBuffers()
        return .endOfStream
      case let count?: headerFilled += count
      }
    }
    return nil
  }

  /// The payload's size, from the complete header.
  private mutating func announcedByteCount(
    _ framing: HeaderFraming
  ) throws(HeaderSplitError) -> Int {
    if let payloadByteCount { return payloadByteCount }
    let announced: Int?
    switch header {
    case .some(let netmem):
      announced = unsafe framing.payloadByteCount(
        RawSpan(_unsafeStart: netmem.cpuAddress.unsafelyUnwrapped, byteCount: headerByteCount))
    case .none: preconditionFailure("a complete header has a buffer")
    }
    guard let announced, announced >= 0 else { throw .malformedHeader }
    guard announced <= maximumPayloadByteCount else {
      throw .oversizePayload(
        announcedByteCount: announced, maximumByteCount: maximumPayloadByteCount)
    }
    payloadByteCount = announced
    return announced
  }

  /// Completes the payload, and begins the next header with what came along; nil when complete.
  private mutating func receivePayload(_ byteCount: Int) throws(HeaderSplitError) -> ReceiveOutcome?
  {
    guard try post(byteCount: byteCount) else { return .exhausted(.payload) }
    while payloadFilled < byteCount {
      if nextHeader == nil {
        // No buffer for it: then it is received by a call of its own, later.
        nextHeader = try allocateHeader()
      }
      vectors.removeAll()
      appendPosted(from: payloadFilled, to: byteCount)
      if nextHeader != nil {
        unsafe vectors.append(
          base: nextHeader?.cpuAddress, offset: 0, byteCount: headerByteCount)
      }
      switch try socket.receive(vectors) {
      case nil: return .wouldBlock
      case 0?:
        throw .truncatedPayload(receivedByteCount: payloadFilled, expectedByteCount: byteCount)
      case let count?:
        let ofPayload = min(count, byteCount - payloadFilled)
        payloadFilled += ofPayload
        nextHeaderFilled = count - ofPayload
      }
    }
    return nil
  }
}
