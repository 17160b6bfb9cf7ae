// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

extension HeaderSplitReceiver {
  /// One datagram: header and payload by one system call.
  mutating func receiveDatagram(into packet: inout Packet) throws(HeaderSplitError)
    -> ReceiveOutcome
  {
    if header == nil {
      guard let netmem = try allocateHeader() else { return .exhausted(.header) }
      header = consume netmem
    }
    guard try post(byteCount: maximumPayloadByteCount) else { return .exhausted(.payload) }
    vectors.removeAll()
    unsafe vectors.append(base: header?.cpuAddress, offset: 0, byteCount: headerByteCount)
    appendPosted(from: 0, to: maximumPayloadByteCount)
    // One byte more than there may be: if it arrives, the datagram was too long.
    vectors.appendSpare()
    guard let count = try socket.receive(vectors) else { return .wouldBlock }
    guard count >= headerByteCount else {
      throw .shortDatagram(byteCount: count, headerByteCount: headerByteCount)
    }
    guard count <= headerByteCount + maximumPayloadByteCount else {
      throw .oversizeDatagram(maximumPayloadByteCount: maximumPayloadByteCount)
    }
    deliver(payloadByteCount: count - headerByteCount, into: &packet)
    return .packet
  }
}
