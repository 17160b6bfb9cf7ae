// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemNet
internal import DevmemSystem
internal import Synchronization

/// A receiver on a thread of its own, for async code: its packets are an `AsyncSequence`
/// (``packets``).
///
/// The receiver has to be one that does not wait. Where there is nothing the task is suspended and
/// the thread is free for others, which may have their receivers on it; the receiver's descriptor
/// is watched meanwhile. Where too many buffers are held it looks again every
/// millisecond: they may come back on any thread and, to memory that is shared, in any process.
///
/// *Cancellation loses nothing.* A task that is cancelled gets a `CancellationError` instead of the
/// next packet; one that was received is handed over, cancelled or not. Whoever iterates next goes
/// on with the next byte.
package actor PacketStream<Receiver: PacketReceiver & ~Copyable>: SingleThreadActor {
  /// The thread.
  package nonisolated let executor: SingleThreadExecutor
  private let watch: FenceWatch
  private var receiver: Receiver?

  private init(on executor: SingleThreadExecutor, watch: FenceWatch) {
    self.executor = executor
    self.watch = watch
  }

  /// Makes the receiver on the executor's thread, with all that belongs to a thread: pools, an
  /// instance of zero-copy receive.
  /// - Parameters:
  ///   - executor: whose thread it is.
  ///   - watch: what tells of data; several streams may share one.
  ///   - make: makes the receiver.
  /// - Throws: what `make` throws.
  package static func make(
    on executor: SingleThreadExecutor, watch: FenceWatch,
    _ make: @Sendable () throws -> Receiver
  ) async throws -> PacketStream {
    let stream = PacketStream(on: executor, watch: watch)
    try await stream.open(make)
    return stream
  }

  private func open(_ make: @Sendable () throws -> Receiver) throws { receiver = try make() }

  /// The packets, from the next one on. What one iterator has taken another one does not get.
  package nonisolated var packets: PacketSequence<Receiver> { PacketSequence(stream: self) }

  /// The next packet; nil at the end of the stream.
  /// - Throws: what the receiver throws, `CancellationError`.
  package func next() async throws -> ReceivedPacket? {
    while true {
      try Task.checkCancellation()
      var packet = receiver!.makePacket()
      switch try receiver!.receive(into: &packet) {
      case .packet: return ReceivedPacket(packet)
      case .endOfStream: return nil
      case .exhausted: try await Task.sleep(for: .milliseconds(1))
      case .wouldBlock: try await wait()
      }
    }
  }

  private var descriptorNumber: Int32 {
    switch receiver {
    case .some(let receiver): receiver.descriptorNumber
    case .none: fatalError("a stream without a receiver")
    }
  }

  private func wait() async throws {
    do throws(FenceError) {
      try await watch.wait(
        for: descriptorNumber, of: self, .readable, nil, operation: "waiting for packets")
    } catch {
      if error.code == .cancelled { throw CancellationError() }
      throw error
    }
  }
}

/// The packets of a ``PacketStream``.
package struct PacketSequence<Receiver: PacketReceiver & ~Copyable>: AsyncSequence, Sendable {
  fileprivate let stream: PacketStream<Receiver>

  package func makeAsyncIterator() -> Iterator { Iterator(stream: stream) }

  /// Asks the stream.
  package struct Iterator: AsyncIteratorProtocol {
    fileprivate let stream: PacketStream<Receiver>

    package mutating func next() async throws -> ReceivedPacket? { try await stream.next() }
  }
}

/// A packet where Swift wants something that can be copied: it is taken once.
package final class ReceivedPacket: Sendable {
  private let packet: Mutex<Packet?>

  init(_ packet: consuming Packet) { self.packet = Mutex(packet) }

  /// The packet, which is the caller's from here on; nil the second time.
  package func take() -> Packet? { packet.withLock { $0.take() } }
}
