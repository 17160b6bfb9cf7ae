// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Glibc
import Testing

@testable import devmemctl

/// A TCP connection over loopback and a pool to receive into.
final class Stream {
  let pool: PagePool
  let buffer: DMABuf
  let client: SharedTCPSocket
  /// The accepted end; nil closes it, as far as nobody else has it.
  var server: SharedTCPSocket?

  init(iovCount: Int, iovByteCount: Int = 4096) throws {
    buffer = try DMABuf.memoryFile(byteCount: iovCount * iovByteCount)
    pool = try PagePool(
      provider: DMABufMemoryProvider(DMABufCarving(buffer, iovByteCount: iovByteCount)))
    let listener = try TCPSocket.listen()
    client = SharedTCPSocket(try .connect(port: listener.port))
    server = SharedTCPSocket(try listener.accept())
  }

  /// A receiver on a second descriptor of the connection, which stays open without it.
  func receiver(
    _ configuration: ProvidedBufferReceiver.Configuration = .init()
  ) throws -> ProvidedBufferReceiver {
    try ProvidedBufferReceiver(
      stream: accepted().socket.descriptor.duplicate(), payload: pool, configuration: configuration)
  }

  /// The accepted end.
  func accepted() throws -> SharedTCPSocket { try #require(server) }

  /// Sends so many bytes that follow from the seed on a thread of their own, then the end.
  func startSending(byteCount: Int, seed: UInt64) -> SentStream {
    SentStream(client, byteCount: byteCount, seed: seed)
  }

  /// Waits until the kernel has received so many bytes that nobody has taken.
  func awaitQueued(_ byteCount: Int) throws {
    for _ in 0..<10_000 {
      var count: Int32 = 0
      // FIONREAD of asm-generic/ioctls.h, which Swift's Glibc does not have as a number.
      try #require(unsafe ioctl(try accepted().socket.descriptor.rawValue, 0x541B, &count) == 0)
      if Int(count) >= byteCount { return }
      SystemProcess.pause(milliseconds: 1)
    }
    Issue.record("\(byteCount) bytes did not arrive")
  }
}

/// A sender and the digest of what it has sent.
final class SentStream {
  private final class Digest: @unchecked Sendable { var hash = SHA256() }
  private let sender: RandomSender
  private let digest = Digest()

  init(_ socket: SharedTCPSocket, byteCount: Int, seed: UInt64) {
    sender = unsafe RandomSender(socket, byteCount: byteCount, seed: seed) { [digest] bytes in
      unsafe digest.hash.update(bytes)
    }
  }

  /// Waits for the sender. Once.
  func awaitDigest() -> [UInt8] {
    sender.wait()
    var finished = SHA256()
    swap(&finished, &digest.hash)
    return finished.finalize()
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
