// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemURing
import DevmemVulkan

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
      var loop = try RecvLoop(options, buffer)
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
    guard !options.noDevice else {
      let sink = try ByteSink(options.output)
      let buffer = try options.transfer.makeBuffer(
        iovByteCount: options.iovSize.value, name: "devmemctl recv")
      return try receiveWithoutCard(
        options, buffer, accept(options, by: options.transfer.interface), sink)
    }
    let stack = try InterfaceStack(named: options.transfer.requireInterface())
    try NICCapabilities.requireReceive(on: stack.card)
    let queue = try (options.queues?.queues ?? NICSetup.lastQueues(1, of: stack.card))[0]
    let sink = try ByteSink(options.output)
    let (buffer, target) = try makeMemory(options)
    // What has the queue pins the settings: it ends first, whatever happens.
    return try NICGuard.keeping(guardCard(options, stack.card, [queue])) {
      try receiveFromQueue(options, stack, queue, buffer, target, sink)
    }
  }

  static func receiveWithoutCard(
    _ options: RecvCommand, _ buffer: DMABuf, _ stream: consuming OwnedFileDescriptor,
    _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    let details = URingWireReport(
      place: "zero-copy memory of \(buffer.exporter)", interface: options.transfer.interface)
    let stream = Moved(stream)
    // The CPU writes.
    return try buffer.withCPUAccess(.readWrite) {
      let instance = try ZeroCopyInstance(memory: buffer, from: .anySocket)
      return try receive(options, buffer, nil, instance, details, stream.take(), sink)
    }
  }

  private static func receiveFromQueue(
    _ options: RecvCommand, _ stack: InterfaceStack, _ queue: UInt32, _ buffer: DMABuf,
    _ target: VulkanMemory?, _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    let instance = try ZeroCopyInstance(
      memory: buffer,
      from: .queue(
        stack.card, queue, memory: options.cpuMapping ? .cpuMapping : .descriptor),
      configuration: ZeroCopyInstance.Configuration(bufferByteCount: options.iovSize.value))
    let details = URingWireReport(
      place: "zero-copy memory of \(buffer.exporter) on \(stack.card), queue \(queue)",
      interface: stack.card.name, queues: [queue])
    // The flow is steered to the memory from its beginning.
    let stream = try accept(options, stack)
    return try receive(options, buffer, target, instance, details, stream, sink)
  }

  private static func receive(
    _ options: RecvCommand, _ buffer: DMABuf, _ target: VulkanMemory?,
    _ instance: ZeroCopyInstance, _ details: URingWireReport,
    _ stream: consuming OwnedFileDescriptor, _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    var details = details
    var report = RecvReport(.zcrx, details)
    var receiver = try ZeroCopyReceiver(
      stream: stream, over: instance,
      configuration: ZeroCopyReceiver.Configuration(waits: false))
    report.poolInFlightBefore = UInt64(receiver.heldCount)
    var loop = try RecvLoop(options, buffer, target)
    try loop.run(&receiver, sink)
    report.poolInFlightAtEnd = UInt64(receiver.heldCount)
    try receiver.replenish()
    details.statistics = receiver.statistics
    details.zeroCopy = instance.statistics
    report.details = details
    report.poolInFlightAfter = UInt64(receiver.heldCount)
    loop.finish(&report)
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
