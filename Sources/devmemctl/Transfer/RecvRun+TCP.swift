// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemVulkan

// `recv` by ordinary TCP: the processor puts the bytes into the dma-buf.
extension RecvRun {
  /// Bytes of one call at most.
  private static let packetLimit = 256 << 10

  static func runTCP(_ options: RecvCommand) throws -> RecvReport {
    let sink = try ByteSink(options.output)
    let (buffer, target) = try makeMemory(options)
    return try receiveByTCP(
      options, buffer, target, accept(options, by: options.transfer.interface), sink)
  }

  static func receiveByTCP(
    _ options: RecvCommand, _ buffer: DMABuf, _ target: VulkanMemory?,
    _ stream: consuming OwnedFileDescriptor, _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    let carving = try DMABufCarving(
      buffer, iovByteCount: options.iovSize.value, addressing: .bufferOffset)
    let pool = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(ringCapacity: carving.iovCount, name: "recv"))
    var details = TCPWireReport(
      place: "buffers of \(buffer.exporter)", interface: options.transfer.interface)
    var report = RecvReport(.tcp, details)
    report.poolInFlightBefore = UInt64(pool.inFlight.held)
    do {
      var receiver = BracketedReceiver(
        try HeaderSplitReceiver(
          unframed: stream, maximumByteCount: min(packetLimit, buffer.byteCount), payload: pool),
        buffer)
      var loop = try RecvLoop(options, buffer, target)
      try loop.run(&receiver, sink)
      report.poolInFlightAtEnd = UInt64(pool.inFlight.held)
      details.packetCount = receiver.packetCount
      details.stallCount = receiver.stallCount
      loop.finish(&report)
    }
    details.byteCount = report.byteCount
    report.details = details
    report.poolInFlightAfter = UInt64(pool.inFlight.held)
    return report
  }
}

/// Opens a bracket of CPU access for each call, and not while somebody waits for data: a device
/// reads the same memory in between. A bracket waits for what the device reads already.
private struct BracketedReceiver: ~Copyable, PacketReceiver {
  private var receiver: HeaderSplitReceiver
  private let buffer: DMABuf
  private(set) var packetCount = 0
  private(set) var stallCount = 0

  init(_ receiver: consuming HeaderSplitReceiver, _ buffer: DMABuf) {
    self.receiver = receiver
    self.buffer = buffer
  }

  var descriptorNumber: Int32 { receiver.descriptorNumber }

  func makePacket() -> Packet { receiver.makePacket() }

  mutating func receive(into packet: inout Packet) throws -> ReceiveOutcome {
    let outcome = try buffer.withCPUAccess(.write) { try receiver.receive(into: &packet) }
    switch outcome {
    case .packet: packetCount += 1
    case .exhausted: stallCount += 1
    case .wouldBlock, .endOfStream: break
    }
    return outcome
  }
}
