// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem

/// The demo's receiving side: headers into host pages, payload into the dma-buf's IOVs, each IOV to
/// the importer as (token, offset, length) and back by its token.
final class DevicePath: DemoPath {
  let buffer: DMABuf
  let headers: PagePool
  let payload: PagePool
  private var receiver: HeaderSplitReceiver
  private var packet: Packet
  private var channel: FragmentChannel
  private let packetsPerBatch: Int

  private(set) var headerCount = 0
  private(set) var payloadByteCount = 0
  /// Payload that lay in a buffer of the payload pool of device memory.
  private(set) var deviceByteCount = 0

  init(
    buffer: DMABuf, headers: PagePool, payload: PagePool, connection: consuming TCPSocket,
    importer: ImporterProcess, payloadByteCount: Int
  ) throws {
    self.buffer = buffer
    self.headers = headers
    self.payload = payload
    receiver = try HeaderSplitReceiver(
      stream: connection.takeDescriptor(),
      framing: DemoHeader.framing(maximumPayloadByteCount: payloadByteCount), headers: headers,
      payload: payload)
    packet = receiver.makePacket()
    channel = try FragmentChannel(socket: importer.socket, patience: importer.patience)
    packetsPerBatch = max(1, DemoSizes.batchByteCount / payloadByteCount)
  }

  func transfer(byteCount: Int, progress: (Int) -> Void) throws {
    let end = payloadByteCount + byteCount
    while payloadByteCount < end {
      // The socket writes into the buffer: one bracket for the batch.
      let isExhausted = try buffer.withCPUAccess(.write) { try receiveBatch(until: end) }
      try channel.flush(reclaim)
      if isExhausted {
        // All IOVs are with the importer: it sets the pace.
        try channel.waitForTokens(reclaim)
      } else {
        try channel.drain(reclaim)
      }
      progress(payloadByteCount)
    }
    while channel.outstandingCount > 0 { try channel.waitForTokens(reclaim) }
  }

  /// Makes sure that the stream ends here, which returns the receiver's buffers, and tells the
  /// importer that there is no more.
  func finish() throws {
    packet.removeAll()
    try channel.finishBatches()
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
      if channel.isFull { try channel.flush(reclaim) }
      let (start, byteCount) = (fragment.offset, fragment.byteCount)
      guard let netmem = fragment.takeNetmem() else {
        throw CommandError("a fragment of a plain socket is not of a pool")
      }
      if netmem.kind == .device { deviceByteCount += byteCount }
      channel.append(token: netmem.detach().rawValue, offset: start, byteCount: byteCount)
    }
  }

  /// An IOV comes back: validated by the pool, then free for the next payload.
  private func reclaim(_ token: UInt64) throws {
    _ = try payload.reclaim(NetmemToken(rawValue: token))
  }
}
