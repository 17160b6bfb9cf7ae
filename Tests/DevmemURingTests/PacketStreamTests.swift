// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Synchronization
import Testing

@testable import devmemctl

@Suite("Packets as an asynchronous sequence", .serialized)
struct PacketStreamTests {
  /// What came, in order.
  private final class Received: Sendable {
    private struct State: ~Copyable {
      var hash = SHA256()
      var byteCount = 0
      var packetCount = 0
    }
    private let state = Mutex(State())

    var byteCount: Int { state.withLock { $0.byteCount } }
    var packetCount: Int { state.withLock { $0.packetCount } }

    func digest() -> [UInt8] {
      state.withLock { state in
        var finished = SHA256()
        swap(&finished, &state.hash)
        return finished.finalize()
      }
    }

    /// Takes a packet, and returns its fragments.
    func take(_ received: ReceivedPacket) throws -> [HeldFragment] {
      guard var packet = received.take() else { throw Errno.EIO }
      return try state.withLock { state in
        var held: [HeldFragment] = []
        while let fragment = packet.popFirstFragment() {
          try state.hash.update(fragment)
          state.byteCount += fragment.byteCount
          held.append(HeldFragment(fragment))
        }
        state.packetCount += 1
        return held
      }
    }
  }

  private final class Sent: @unchecked Sendable {
    var hash = SHA256()

    func digest() -> [UInt8] {
      var finished = SHA256()
      swap(&finished, &hash)
      return finished.finalize()
    }
  }

  /// A connection whose one end is a stream of packets.
  private static func connect(
    on executor: SingleThreadExecutor, watch: FenceWatch, iovCount: Int = 64
  ) async throws -> (PacketStream<ProvidedBufferReceiver>, SharedTCPSocket) {
    let listener = try TCPSocket.listen()
    let client = SharedTCPSocket(try .connect(port: listener.port))
    let server = SharedTCPSocket(try listener.accept())
    let provider = try HostMemoryProvider(byteCount: iovCount * 4096)
    let stream = try await PacketStream.make(on: executor, watch: watch) {
      try ProvidedBufferReceiver(
        stream: server.socket.descriptor.duplicate(), payload: PagePool(provider: provider),
        configuration: .init(lentCount: 16, waits: false))
    }
    return (stream, client)
  }

  @Test("a for loop gets every byte in order, on several streams that share a thread")
  func loop() async throws {
    let byteCount = 8 << 20
    let executor = try SingleThreadExecutor(name: "packets")
    let watch = try FenceWatch()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for seed in 1...3 {
        let (stream, client) = try await Self.connect(on: executor, watch: watch)
        let sent = Sent()
        let sender = unsafe RandomSender(client, byteCount: byteCount, seed: UInt64(seed)) {
          unsafe sent.hash.update($0)
        }
        group.addTask {
          let received = Received()
          for try await packet in stream.packets { _ = try received.take(packet) }
          sender.wait()
          #expect(received.byteCount == byteCount)
          #expect(received.digest() == sent.digest())
        }
      }
      try await group.waitForAll()
    }
  }

  @Test("tasks that are cancelled at any moment lose no byte: the next one goes on")
  func cancelled() async throws {
    let byteCount = 8 << 20
    let executor = try SingleThreadExecutor(name: "packets")
    let watch = try FenceWatch()
    let (stream, client) = try await Self.connect(on: executor, watch: watch)
    let received = Received()
    let sent = Sent()
    let sender = unsafe RandomSender(client, byteCount: byteCount, seed: 21) {
      unsafe sent.hash.update($0)
    }
    var random = SeededGenerator(seed: 22)
    var (cancelledCount, isAtEnd) = (0, false)
    while !isAtEnd {
      let enough = received.packetCount + Int.random(in: 0...40, using: &random)
      // From within, between two packets, or from outside, at any moment.
      let cancelsItself = enough % 2 == 0
      let task = Task {
        for try await packet in stream.packets {
          _ = try received.take(packet)
          guard cancelsItself && received.packetCount > enough else { continue }
          unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        }
      }
      let reader = Task {
        while received.packetCount < enough && received.byteCount < byteCount && !Task.isCancelled {
          await Task.yield()
        }
      }
      await reader.value
      task.cancel()
      switch await task.result {
      case .success: isAtEnd = received.byteCount == byteCount
      case .failure(let error):
        #expect(error is CancellationError, "\(error)")
        cancelledCount += 1
      }
      if received.byteCount == byteCount { isAtEnd = try await stream.next() == nil }
    }
    sender.wait()
    #expect(cancelledCount > 0)
    #expect(received.byteCount == byteCount)
    #expect(received.digest() == sent.digest())
    #expect(watch.count == 0)
  }

  @Test("a task that waits is cancelled without data, and the stream goes on")
  func idle() async throws {
    let executor = try SingleThreadExecutor(name: "packets")
    let watch = try FenceWatch()
    let (stream, client) = try await Self.connect(on: executor, watch: watch)
    let task = Task { try await stream.next() }
    while watch.count == 0 { await Task.yield() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(watch.count == 0)
    try client.socket.send([1, 2, 3])
    let received = Received()
    _ = try received.take(try #require(try await stream.next()))
    #expect(received.byteCount == 3)
    try client.finishSending()
    #expect(try await stream.next() == nil)
  }

  @Test("where all buffers are held it goes on when some have ended")
  func exhausted() async throws {
    let byteCount = 4 << 20
    let executor = try SingleThreadExecutor(name: "packets")
    let watch = try FenceWatch()
    let (stream, client) = try await Self.connect(on: executor, watch: watch, iovCount: 16)
    let sender = unsafe RandomSender(client, byteCount: byteCount, seed: 23) { _ in }
    let received = Received()
    let held = Mutex<[HeldFragment]>([])
    // Somebody else ends them, when the stream stands still.
    let other = Task {
      while !Task.isCancelled {
        held.withLock { $0.removeAll() }
        try await Task.sleep(for: .milliseconds(1))
      }
    }
    for try await packet in stream.packets {
      let fragments = try received.take(packet)
      held.withLock { $0 += fragments }
    }
    other.cancel()
    sender.wait()
    #expect(received.byteCount == byteCount)
  }

  @Test("what fails on the way is thrown, and what was made is gone")
  func failing() async throws {
    let executor = try SingleThreadExecutor(name: "packets")
    let watch = try FenceWatch()
    struct Nothing: Error {}
    await #expect(throws: Nothing.self) {
      _ = try await PacketStream<ProvidedBufferReceiver>.make(on: executor, watch: watch) {
        throw Nothing()
      }
    }
  }
}
