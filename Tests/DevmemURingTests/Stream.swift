// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Dispatch
import Glibc
import Testing

@testable import devmemctl

/// A TCP connection over loopback and a pool to receive into.
final class Stream {
  let pool: PagePool
  let buffer: DMABuf
  let client: TCPSocket
  private let server: OwnedFileDescriptor

  init(iovCount: Int, iovByteCount: Int = 4096) throws {
    buffer = try DMABuf.memoryFile(byteCount: iovCount * iovByteCount)
    pool = try PagePool(
      provider: DMABufMemoryProvider(DMABufCarving(buffer, iovByteCount: iovByteCount)))
    let listener = try TCPSocket.listen()
    client = try TCPSocket.connect(port: listener.port)
    server = try listener.acceptDescriptor()
  }

  /// A receiver on a second descriptor of the connection, which stays open without it.
  func receiver(
    _ configuration: ProvidedBufferReceiver.Configuration = .init()
  ) throws -> ProvidedBufferReceiver {
    try ProvidedBufferReceiver(
      stream: server.duplicate(), payload: pool, configuration: configuration)
  }

  /// Sends so many bytes that follow from the seed on a thread of their own, then the end.
  func startSending(byteCount: Int, seed: UInt64) -> SentStream {
    let sent = SentStream()
    let client = client
    let worker = Worker()
    worker.start {
      var hash = SHA256()
      var random = SeededGenerator(seed: seed)
      // Stretches of one block from random places: made quickly, and no two streams are alike.
      let block = (0..<1 << 20).map { _ in UInt8.random(in: 0...255, using: &random) }
      var rest = byteCount
      while rest > 0 {
        let count = min(rest, Int.random(in: 1...200_000, using: &random))
        let start = Int.random(in: 0...block.count - count, using: &random)
        let bytes = Array(block[start..<start + count])
        unsafe bytes.withUnsafeBytes { unsafe hash.update($0) }
        var sentCount = 0
        while sentCount < count {
          guard let more = try? client.send(Array(bytes[sentCount...])) else { return sent.stop() }
          sentCount += more
        }
        rest -= count
      }
      try? client.finishSending()
      sent.finish(hash.finalize())
    }
    worker.stop()
    return sent
  }

  /// Waits until the kernel has received so many bytes that nobody has taken.
  func awaitQueued(_ byteCount: Int) throws {
    for _ in 0..<10_000 {
      var count: Int32 = 0
      // FIONREAD of asm-generic/ioctls.h, which Swift's Glibc does not have as a number.
      try #require(unsafe ioctl(server.rawValue, 0x541B, &count) == 0)
      if Int(count) >= byteCount { return }
      SystemProcess.pause(milliseconds: 1)
    }
    Issue.record("\(byteCount) bytes did not arrive")
  }
}

/// The digest of what a thread has sent, when it is done.
final class SentStream: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private var digest: [UInt8] = []

  fileprivate func finish(_ digest: [UInt8]) {
    self.digest = digest
    done.signal()
  }

  /// The peer takes nothing any more.
  fileprivate func stop() { done.signal() }

  /// The digest, empty where the peer did not take everything; waits for the thread. Once.
  func awaitDigest() -> [UInt8] {
    done.wait()
    return digest
  }
}

/// A fragment where Swift wants something that can be copied.
final class HeldFragment: @unchecked Sendable {
  private var fragment: PayloadFragment?
  init(_ fragment: consuming PayloadFragment) { self.fragment = consume fragment }
  /// Ends the fragment, on the calling thread.
  func drop() { fragment = nil }
}

extension SHA256 {
  /// Takes the bytes of a fragment in.
  mutating func update(_ fragment: borrowing PayloadFragment) throws {
    try fragment.withBytes { bytes in
      unsafe bytes.withUnsafeBytes { unsafe update($0) }
    }
  }
}

/// Written for any receiver: takes the stream to its end, waiting where it must.
func drain(
  _ receiver: inout some PacketReceiver & ~Copyable, into hash: inout SHA256
) throws -> Int {
  var packet = receiver.makePacket()
  var byteCount = 0
  while try receiver.receive(into: &packet) == .packet {
    while let fragment = packet.popFirstFragment() {
      byteCount += fragment.byteCount
      try hash.update(fragment)
    }
  }
  return byteCount
}
