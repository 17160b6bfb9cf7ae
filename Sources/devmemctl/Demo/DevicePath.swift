// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import Glibc

/// The demo's receiving side: headers into host pages, payload into the dma-buf's IOVs, each IOV to
/// the importer as (token, offset, length) and back by its token: a ``FragmentLender``.
final class DevicePath: DemoPath {
  let buffer: DMABuf
  let headers: PagePool
  let payload: PagePool
  private var receiver: HeaderSplitReceiver
  private var packet: Packet
  private let lender: FragmentLender
  private let patience: PeerWait
  private let packetsPerBatch: Int

  private(set) var headerCount = 0
  private(set) var payloadByteCount = 0
  /// Payload that lay in a buffer of the payload pool of device memory.
  private(set) var deviceByteCount = 0

  init(
    buffer: DMABuf, headers: PagePool, payload: PagePool, connection: consuming TCPSocket,
    lender: FragmentLender, patience: PeerWait, payloadByteCount: Int
  ) throws {
    self.buffer = buffer
    self.headers = headers
    self.payload = payload
    receiver = try HeaderSplitReceiver(
      stream: connection.takeDescriptor(),
      framing: DemoHeader.framing(maximumPayloadByteCount: payloadByteCount), headers: headers,
      payload: payload)
    packet = receiver.makePacket()
    self.lender = lender
    self.patience = patience
    packetsPerBatch = max(1, DemoSizes.batchByteCount / payloadByteCount)
  }

  func transfer(byteCount: Int, progress: (Int) -> Void) throws {
    let end = payloadByteCount + byteCount
    while payloadByteCount < end {
      // The socket writes into the buffer: one bracket for the batch.
      let isExhausted = try buffer.withCPUAccess(.write) { try receiveBatch(until: end) }
      while try !lender.flush() {
        try patience.wait(for: lender.descriptorNumber, Int16(POLLIN) | Int16(POLLOUT))
        try lender.collect()
      }
      // With all IOVs at the importer, it sets the pace.
      if isExhausted { try patience.wait(for: lender.descriptorNumber, Int16(POLLIN)) }
      try lender.collect()
      progress(payloadByteCount)
    }
    while lender.lentCount > 0 {
      try patience.wait(for: lender.descriptorNumber, Int16(POLLIN))
      try lender.collect()
    }
  }

  /// Makes sure that the stream ends here, which returns the receiver's buffers.
  func finish() throws {
    packet.removeAll()
    while true {
      switch try receiver.receive(into: &packet) {
      case .endOfStream: return
      case .packet: throw CommandError("the sender sent more than it should")
      case .wouldBlock, .exhausted: continue
      }
    }
  }

  /// Receives some packets; true when the payload pool is exhausted.
  private func receiveBatch(until end: Int) throws -> Bool {
    for _ in 0..<packetsPerBatch where payloadByteCount < end {
      switch try receiver.receive(into: &packet) {
      case .packet: try dispatch()
      case .exhausted(.payload): return true
      case .exhausted(.header):
        throw CommandError("no header buffer is left, although none is in use")
      case .wouldBlock: throw CommandError("a blocking socket does not block")
      case .endOfStream:
        throw CommandError("the stream ended after \(payloadByteCount) of \(end) bytes")
      }
    }
    return false
  }

  /// Checks the packet's header and passes its fragments on.
  private func dispatch() throws {
    let header = try packet.withHeader { DemoHeader($0) }
    let expected = DemoHeader(
      sequence: UInt64(headerCount), offset: UInt64(payloadByteCount),
      payloadByteCount: UInt64(packet.payloadByteCount))
    guard header == expected else {
      throw CommandError("packet \(headerCount) is out of step with the stream")
    }
    headerCount += 1
    payloadByteCount += packet.payloadByteCount
    while let fragment = packet.popFirstFragment() {
      let (start, byteCount) = (fragment.offset, fragment.byteCount)
      guard let netmem = fragment.takeNetmem() else {
        throw CommandError("a fragment of a plain socket is not of a pool")
      }
      if netmem.kind == .device { deviceByteCount += byteCount }
      let offset = Int(start - netmem.offset)
      lender.lend(netmem, offset: offset, byteCount: byteCount)
    }
  }
}
