// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemURing

// `recv` over an io_uring.
extension RecvRun {
  /// Buffers that the kernel has at most at once: of a larger pool it has the rest when the first
  /// are filled.
  private static let lentLimit = 4096

  /// Into buffers of a page pool that were lent to the kernel.
  static func runProvidedBuffers(_ options: RecvCommand) throws -> RecvReport {
    // Before memory is made for it: what is missing, and what would provide it.
    _ = try URing(submissionCount: 1, completionCount: 2)
    let sink = try ByteSink(options.output)
    let buffer = try options.transfer.makeBuffer(
      iovByteCount: options.iovSize.value, name: "devmemctl recv")
    return try receiveIntoProvidedBuffers(
      options, buffer, accept(options, by: options.transfer.interface), sink)
  }

  static func receiveIntoProvidedBuffers(
    _ options: RecvCommand, _ buffer: DMABuf, _ stream: consuming OwnedFileDescriptor,
    _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    let carving = try DMABufCarving(buffer, iovByteCount: options.iovSize.value)
    let pool = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(ringCapacity: carving.iovCount, name: "recv"))
    var lentCount = 1
    while lentCount * 2 <= min(carving.iovCount, lentLimit) { lentCount *= 2 }
    var details = URingWireReport(
      place: "provided buffers of \(buffer.exporter)", interface: options.transfer.interface)
    var report = RecvReport(.uring, details)
    report.poolInFlightBefore = UInt64(pool.inFlight.held)
    // The kernel writes whenever data comes.
    let stream = Moved(stream)
    try buffer.withCPUAccess(.readWrite) {
      var receiver = try ProvidedBufferReceiver(
        stream: stream.take(), payload: pool,
        configuration: ProvidedBufferReceiver.Configuration(lentCount: lentCount, waits: false))
      var loop = RecvLoop(options, buffer)
      try loop.run(&receiver, sink)
      details.statistics = receiver.statistics
      report.poolInFlightAtEnd = UInt64(pool.inFlight.held)
      loop.finish(&report)
    }
    report.details = details
    report.poolInFlightAfter = UInt64(pool.inFlight.held)
    return report
  }

  /// Into a dma-buf that is registered for zero-copy receive.
  static func runZeroCopy(_ options: RecvCommand) throws -> RecvReport {
    // Before memory is made for it.
    _ = try ZeroCopyCapabilities.query()
    let sink = try ByteSink(options.output)
    let buffer = try options.transfer.makeBuffer(
      iovByteCount: options.iovSize.value, name: "devmemctl recv")
    return try receiveByZeroCopy(
      options, buffer, accept(options, by: options.transfer.interface), sink)
  }

  static func receiveByZeroCopy(
    _ options: RecvCommand, _ buffer: DMABuf, _ stream: consuming OwnedFileDescriptor,
    _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    var details = URingWireReport(
      place: "zero-copy memory of \(buffer.exporter)", interface: options.transfer.interface)
    var report = RecvReport(.zcrx, details)
    let stream = Moved(stream)
    try buffer.withCPUAccess(.readWrite) {
      var receiver = try ZeroCopyReceiver(
        stream: stream.take(), memory: buffer,
        configuration: ZeroCopyReceiver.Configuration(waits: false))
      report.poolInFlightBefore = UInt64(receiver.heldCount)
      var loop = RecvLoop(options, buffer)
      try loop.run(&receiver, sink)
      try receiver.returnEnded()
      details.statistics = receiver.statistics
      report.poolInFlightAtEnd = UInt64(receiver.heldCount)
      loop.finish(&report)
    }
    // Fragments that are left would still have it.
    report.details = details
    report.poolInFlightAfter = report.poolInFlightAtEnd
    return report
  }
}

/// A descriptor on its way into a closure.
private final class Moved {
  private var descriptor: OwnedFileDescriptor?

  init(_ descriptor: consuming OwnedFileDescriptor) { self.descriptor = consume descriptor }

  func take() -> OwnedFileDescriptor {
    guard let descriptor = descriptor.take() else { fatalError("taken twice") }
    return descriptor
  }
}
