// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Synchronization
import Testing

/// Fragments to a reader, which is a thread here, over a memory file.
@Suite("Fragments lent to another process")
struct FragmentLenderTests {
  private let pool: PagePool
  private let buffer: DMABuf

  init() throws {
    buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    try buffer.withBytes(.write) { bytes in
      for index in 0..<bytes.count { unsafe bytes[index] = UInt8(truncatingIfNeeded: index * 7) }
    }
    pool = try PagePool(
      provider: DMABufMemoryProvider(DMABufCarving(buffer)),
      configuration: .init(ringCapacity: 256))
  }

  /// Reads all batches on a thread of its own, and answers with the sum of all bytes.
  private final class Reader: Sendable {
    let failure = Mutex<(any Error)?>(nil)
    private let worker = Worker()

    init(_ socket: UnixSocket, reading body: (@Sendable (RawSpan) throws -> Void)? = nil) {
      worker.start { [self] in
        do {
          var reader = try FragmentReader(over: socket)
          do {
            var sum: UInt64 = 0
            while try reader.readBatch({ bytes in
              try body?(bytes)
              for index in 0..<bytes.byteCount {
                sum &+= UInt64(bytes.integer(at: index, as: UInt8.self))
              }
            }) {}
            try reader.finish(unsafe withUnsafeBytes(of: sum) { unsafe Array($0) })
          } catch {
            reader.fail("\(error)")
            throw error
          }
        } catch {
          failure.withLock { $0 = error }
        }
      }
    }

    /// Waits for its end.
    func join() -> DevmemError? {
      worker.run {}
      worker.stop()
      return failure.withLock { $0 as? DevmemError }
    }
  }

  private func makeLender(_ socket: UnixSocket) throws -> FragmentLender {
    try FragmentLender(buffer, over: socket, reclaim: pool.reclaim)
  }

  private func finish(_ lender: FragmentLender) throws -> [UInt8] {
    while true {
      if let answer = try lender.finish() { return answer }
      #expect(try lender.wait(milliseconds: 60_000))
    }
  }

  /// What closing the last descriptor does.
  private func endBothWays(_ socket: UnixSocket) {
    shutdown(socket.descriptor.rawValue, Int32(SHUT_RDWR))
  }

  private func expectCode(_ code: DevmemError.Code, _ body: () throws -> Void) {
    #expect { try body() } throws: { ($0 as? DevmemError)?.code == code }
  }

  @Test("every byte that was lent is read once, and every buffer comes back")
  func all() throws {
    let (near, far) = try UnixSocket.pair()
    let reader = Reader(far)
    let lender = try makeLender(near)
    var random = SeededGenerator(seed: 5)
    var expected: UInt64 = 0
    // More than one batch, and more than the pool has buffers.
    for number in 0..<20_000 {
      var next = pool.allocate()
      while next == nil {
        try lender.flush()
        #expect(try lender.wait(milliseconds: 60_000))
        try lender.collect()
        next = pool.allocate()
      }
      guard let netmem = next.take() else { return }
      let offset = Int.random(in: 0...netmem.byteCount, using: &random)
      let count = Int.random(in: 0...netmem.byteCount - offset, using: &random)
      let start = Int(netmem.offset) + offset
      // The pattern repeats every 256 bytes.
      for index in start..<start + count {
        expected &+= UInt64(UInt8(truncatingIfNeeded: index * 7))
      }
      lender.lend(netmem, offset: offset, byteCount: count)
      if number % 100 == 0 { try lender.flush() }
    }
    let answer = try finish(lender)
    let bytes = unsafe withUnsafeBytes(of: expected) { unsafe Array($0) }
    #expect(answer == bytes)
    #expect(lender.lentCount == 0)
    #expect(pool.inFlight.held == 0)
    #expect(reader.join() == nil)
  }

  @Test("a reader that has gone has nothing any more, unsent or sent")
  func goneReader() throws {
    let (near, far) = try UnixSocket.pair()
    let lender = try makeLender(near)
    for _ in 0..<5 { lender.lend(try pool.take()) }
    try lender.flush()
    for _ in 0..<5 { lender.lend(try pool.take()) }
    #expect(lender.lentCount == 10)
    #expect(pool.inFlight.held == 10)
    endBothWays(far)
    expectCode(.peerClosed) { try lender.collect() }
    #expect(lender.lentCount == 0)
    #expect(pool.inFlight.held == 0)
    expectCode(.peerClosed) {
      lender.lend(try pool.take())
      try lender.flush()
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test(
    "a lender that ends gives back what its reader returned, or had, and no more",
    arguments: [false, true])
  func endedLender(readerIsGone: Bool) throws {
    let (near, far) = try UnixSocket.pair()
    do {
      let lender = try makeLender(near)
      for _ in 0..<4 { lender.lend(try pool.take()) }
      try lender.flush()
      var message = MessageBuffer()
      message.begin()
      message.append(UInt64(1))
      message.finish(MessageHeader(.tokens, count: 1))
      try message.send(over: far)
      if readerIsGone { endBothWays(far) }
    }
    // Nobody knows whether a reader that is there still reads.
    #expect(pool.inFlight.held == (readerIsGone ? 0 : 3))
  }

  @Test("why a reader has failed reaches the lender, whose buffers stay out until it has gone")
  func failedReader() throws {
    struct Wrong: Error, CustomStringConvertible { let description = "the bytes are wrong" }
    let (near, far) = try UnixSocket.pair()
    let reader = Reader(far) { _ in throw Wrong() }
    let lender = try makeLender(near)
    lender.lend(try pool.take())
    #expect {
      while true { _ = try finish(lender) }
    } throws: {
      guard let error = $0 as? DevmemError else { return false }
      return error.code == .peerFailed && error.cause == "the bytes are wrong"
    }
    #expect(reader.join() == nil)
    #expect(reader.failure.withLock { $0 is Wrong })
    #expect(pool.inFlight.held == 1)
    endBothWays(far)
    expectCode(.peerClosed) { try lender.collect() }
    #expect(pool.inFlight.held == 0)
  }

  @Test(
    "a reader gives a buffer back once, and only what it got",
    arguments: [[1, 1], [0, 1, 2, 0], [7], [1 << 32], [UInt64.max]])
  func repeatedToken(tokens: [UInt64]) throws {
    let (near, far) = try UnixSocket.pair()
    let lender = try makeLender(near)
    for _ in 0..<3 { lender.lend(try pool.take()) }
    try lender.flush()
    var message = MessageBuffer()
    message.begin()
    for token in tokens { message.append(token) }
    message.finish(MessageHeader(.tokens, count: tokens.count))
    try message.send(over: far)
    expectCode(.peerConfused) { try lender.collect() }
    // What was good before it came back.
    let good = tokens.count > 3 ? 0 : Set(tokens.filter { $0 < 3 }).count
    #expect(pool.inFlight.held == 3 - good)
    #expect(lender.lentCount == 3 - good)
  }

  @Test("a buffer of another pool is refused when it comes back")
  func foreignBuffer() throws {
    let other = try PagePool(provider: try ListProvider(iovCount: 1))
    let (near, far) = try UnixSocket.pair()
    let lender = try makeLender(near)
    lender.lend(try other.take())
    try lender.flush()
    var message = MessageBuffer()
    message.begin()
    message.append(UInt64(0))
    message.finish(MessageHeader(.tokens, count: 1))
    try message.send(over: far)
    expectCode(.tokensRefused) { try lender.collect() }
  }

  @Test(
    "a fragment outside the buffer is refused, and nothing of the batch is read beyond it",
    arguments: [(UInt64(1 << 20), 1), ((1 << 20) - 1, 2), (.max, 1), (0, (1 << 20) + 1)])
  func outside(offset: UInt64, byteCount: Int) throws {
    let (near, far) = try UnixSocket.pair()
    let reader = Reader(far)
    var hello = MessageBuffer()
    hello.begin()
    hello.finish(MessageHeader(.hello, count: 0))
    try buffer.sendDescriptor(over: near, message: hello.bytes)
    var channel = try FragmentChannel(socket: near)
    channel.append(token: 1, offset: offset, byteCount: byteCount)
    #expect(try channel.flush())
    #expect(reader.join()?.code == .peerConfused)
  }

  @Test("a message with the wrong magic or length, or without memory, is refused by the reader")
  func nonsense() throws {
    for bytes in [[UInt8](repeating: 0, count: 16), [1, 2, 3]] {
      let (near, far) = try UnixSocket.pair()
      let reader = Reader(far)
      try near.send(bytes)
      #expect(reader.join()?.code == .peerConfused)
      withExtendedLifetime(near) {}
    }
    let (near, far) = try UnixSocket.pair()
    let reader = Reader(far)
    let lender = try makeLender(near)
    var message = MessageBuffer()
    message.begin()
    // Says one fragment, has none.
    message.finish(MessageHeader(.batch, count: 1))
    try message.send(over: near)
    #expect(reader.join()?.code == .peerConfused)
    expectCode(.peerFailed) { while true { try lender.collect() } }
  }

  @Test("the lender's end ends the reader with an error, before the memory and after it")
  func goneLender() throws {
    for isBefore in [true, false] {
      let reader: Reader = try {
        let (near, far) = try UnixSocket.pair()
        if !isBefore { _ = try makeLender(near) }
        return Reader(far)
      }()
      #expect(reader.join()?.code == .peerClosed)
    }
  }
}
