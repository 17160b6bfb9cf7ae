// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import devmemctl

@Suite("Fragments between demo and importer")
struct FragmentChannelTests {
  private let patience = PeerWait(name: "the reader", limit: nil)

  /// Runs a reader over a memory file on another thread.
  private func reader(
    _ socket: UnixSocket, _ buffer: DMABuf
  ) -> (thread: BackgroundThread, digest: Box) {
    let box = Box()
    let thread = BackgroundThread {
      box.digest = try FragmentReader(
        socket: socket, memory: ImportedMemory(buffer: buffer)
      ).run()
    }
    return (thread, box)
  }

  /// A hash that closures can use.
  private final class HashBox {
    var hash = SHA256()
    func take() -> [UInt8] {
      var taken = SHA256()
      swap(&taken, &hash)
      return taken.finalize()
    }
  }

  private final class Box: @unchecked Sendable {
    // Written before the thread ends, read after it was joined.
    var digest: [UInt8] = []
  }

  private func makeBuffer() throws -> DMABuf {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    try buffer.withBytes(.write) { bytes in
      for index in 0..<bytes.count { unsafe bytes[index] = UInt8(truncatingIfNeeded: index * 7) }
    }
    return buffer
  }

  @Test("a reader hashes fragments in order and gives each token back once")
  func inOrder() throws {
    let buffer = try makeBuffer()
    let (near, far) = try UnixSocket.pair()
    let (thread, box) = reader(far, buffer)
    var channel = try FragmentChannel(socket: near, patience: patience)
    let expected = HashBox()
    var random = SeededGenerator(seed: 5)
    var back: [UInt64] = []
    // More than one batch, and more than the socket's buffers hold.
    for token in 0..<20_000 as Range<UInt64> {
      let offset = Int.random(in: 0..<(1 << 20), using: &random)
      let count = Int.random(in: 0...min(4096, (1 << 20) - offset), using: &random)
      try buffer.withBytes(.read) { bytes in
        let part = unsafe bytes[offset..<offset + count]
        unsafe expected.hash.update(UnsafeRawBufferPointer(rebasing: part))
      }
      if channel.isFull { try channel.flush { back.append($0) } }
      channel.append(token: token, offset: UInt64(offset), byteCount: count)
    }
    try channel.flush { back.append($0) }
    while channel.outstandingCount > 0 { try channel.waitForTokens { back.append($0) } }
    try channel.finishBatches()
    try thread.join()
    #expect(back == Array(0..<20_000))
    let digest = expected.take()
    #expect(box.digest == digest)
  }

  @Test(
    "a fragment outside the buffer is refused",
    arguments: [(UInt64(1 << 20), 1), ((1 << 20) - 1, 2), (.max, 1), (0, (1 << 20) + 1)])
  func outside(offset: UInt64, byteCount: Int) throws {
    let (near, far) = try UnixSocket.pair()
    let (thread, _) = reader(far, try makeBuffer())
    var channel = try FragmentChannel(socket: near, patience: patience)
    channel.append(token: 1, offset: offset, byteCount: byteCount)
    try channel.flush { _ in }
    #expect(throws: CommandError.self) { try thread.join() }
  }

  @Test("a peer that returns more than it got is refused")
  func tooManyTokens() throws {
    let (near, far) = try UnixSocket.pair()
    var channel = try FragmentChannel(socket: near, patience: patience)
    channel.append(token: 1, offset: 0, byteCount: 1)
    try channel.flush { _ in }
    var message = MessageBuffer()
    message.begin()
    message.append(UInt64(1))
    message.append(UInt64(1))
    message.finish(MessageHeader(.tokens, count: 2))
    try message.send(over: far)
    #expect(throws: CommandError.self) { try channel.waitForTokens { _ in } }
  }

  @Test("a message with the wrong magic or length is refused on either side")
  func nonsense() throws {
    for bytes in [[UInt8](repeating: 0, count: 16), [1, 2, 3]] {
      let (near, far) = try UnixSocket.pair()
      let (thread, _) = reader(far, try makeBuffer())
      try near.send(bytes)
      #expect(throws: CommandError.self) { try thread.join() }
    }
    let (near, far) = try UnixSocket.pair()
    let (thread, _) = reader(far, try makeBuffer())
    var message = MessageBuffer()
    message.begin()
    // Says one fragment, has none.
    message.finish(MessageHeader(.batch, count: 1))
    try message.send(over: near)
    #expect(throws: CommandError.self) { try thread.join() }
  }

  @Test("the end of the demo ends the reader with an error")
  func end() throws {
    let (thread, _): (BackgroundThread, Box) = try {
      let (near, far) = try UnixSocket.pair()
      _ = near
      return reader(far, try makeBuffer())
    }()
    #expect(throws: CommandError.self) { try thread.join() }
  }
}
