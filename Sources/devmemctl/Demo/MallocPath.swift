// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc
import Synchronization

/// The same transfer into buffers from malloc: what an ordinary program would do.
///
/// The same connection, framing, system calls, batches and messages; the reader is a thread instead
/// of a process, since no other process could see this memory without one more copy, and it needs
/// no sync brackets. Both differences are to malloc's favour.
@safe
final class MallocPath: DemoPath {
  private let connection: TCPSocket
  private var channel: FragmentChannel
  private let patience = PeerWait(name: "the comparison's reader", limit: nil)
  private let reader: Reader
  private let payloadByteCount: Int
  private let packetsPerBatch: Int
  private var received = 0
  private var sequence: UInt64 = 0
  /// A header that came along with the payload before it, and how much of it.
  // SAFETY: malloc'd by this object, freed where the packet ends or in deinit.
  private var nextHeader: UnsafeMutableRawPointer?
  private var nextHeaderFilled = 0
  private let outstandingByteLimit: Int
  // SAFETY: two elements, allocated in init and freed in deinit.
  private let vectors = UnsafeMutableBufferPointer<IOVector>.allocate(capacity: 2)

  /// The thread that hashes.
  private final class Reader: Sendable {
    let thread: BackgroundThread
    let digest: Digest
    final class Digest: Sendable {
      let bytes = Mutex<[UInt8]>([])
    }

    init(_ socket: UnixSocket) {
      let digest = Digest()
      self.digest = digest
      thread = BackgroundThread {
        // Whoever waits for tokens learns that there will be none.
        defer { shutdown(socket.descriptor.rawValue, Int32(SHUT_RDWR)) }
        let bytes = try Self.read(FragmentBatches(socket: socket))
        digest.bytes.withLock { $0 = bytes }
      }
    }

    /// Hashes batches, where an offset is an address, until there are no more.
    private static func read(_ batches: consuming FragmentBatches) throws -> [UInt8] {
      var batches = batches
      var hash = SHA256()
      while let count = try batches.next() {
        for position in 0..<count {
          let entry = batches.entry(position)
          unsafe hash.update(
            UnsafeRawBufferPointer(
              start: UnsafeRawPointer(bitPattern: UInt(entry.offset)),
              count: Int(entry.byteCount)))
        }
        try batches.sendTokens()
      }
      return hash.finalize()
    }
  }

  deinit {
    unsafe free(nextHeader)
    unsafe vectors.deallocate()
  }

  /// - Parameter outstandingByteLimit: what may be with the reader at a time, as much as the
  ///   dma-buf has.
  init(connection: consuming TCPSocket, payloadByteCount: Int, outstandingByteLimit: Int) throws {
    self.outstandingByteLimit = outstandingByteLimit
    self.connection = connection
    self.payloadByteCount = payloadByteCount
    let (near, far) = try CommandError.wrapping("making a pair of Unix sockets") {
      () throws(Errno) in try UnixSocket.pair()
    }
    reader = Reader(far)
    channel = try FragmentChannel(socket: near)
    packetsPerBatch = max(1, DemoSizes.batchByteCount / payloadByteCount)
  }

  func transfer(byteCount: Int, progress: (Int) -> Void) throws {
    let end = received + byteCount
    while received < end {
      for _ in 0..<packetsPerBatch where received < end { try receivePacket() }
      while try !channel.flush() { try wait(for: Int16(POLLIN) | Int16(POLLOUT)) }
      if channel.outstandingCount * payloadByteCount > outstandingByteLimit {
        try wait(for: Int16(POLLIN))
      } else {
        try channel.drain(Self.release)
      }
      progress(received)
    }
    while channel.outstandingCount > 0 { try wait(for: Int16(POLLIN)) }
  }

  /// Waits for the reader, and takes what comes back.
  private func wait(for events: Int16) throws {
    try patience.wait(for: channel.socket.descriptor.rawValue, events)
    try channel.drain(Self.release)
  }

  /// Ends the reader. Returns the SHA-256 of all that it has seen.
  func finish() throws -> [UInt8] {
    while try !channel.finish() { try wait(for: Int16(POLLOUT)) }
    try reader.thread.join()
    return reader.digest.bytes.withLock { $0 }
  }

  private static func release(_ address: UInt64) {
    unsafe free(UnsafeMutableRawPointer(bitPattern: UInt(address)))
  }

  private static func allocate(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
    guard let pointer = unsafe malloc(byteCount) else { throw CommandError("malloc failed") }
    return unsafe pointer
  }

  /// One packet, with the next one's header in the same call.
  private func receivePacket() throws {
    let header = try unsafe nextHeader ?? Self.allocate(DemoHeader.byteCount)
    defer { unsafe free(header) }
    var filled = nextHeaderFilled
    unsafe nextHeader = nil
    nextHeaderFilled = 0
    while filled < DemoHeader.byteCount {
      unsafe vectors[0] = IOVector(
        baseAddress: header + filled, byteCount: DemoHeader.byteCount - filled)
      filled += try receive(vectorCount: 1)
    }
    guard
      let fields = unsafe DemoHeader(
        RawSpan(_unsafeStart: header, byteCount: DemoHeader.byteCount)),
      fields.sequence == sequence, fields.offset == UInt64(received),
      let byteCount = Int(exactly: fields.payloadByteCount), byteCount <= payloadByteCount
    else { throw CommandError("packet \(sequence) of the comparison is out of step") }

    let payload = try unsafe Self.allocate(byteCount)
    var position = 0
    while position < byteCount {
      if unsafe nextHeader == nil { unsafe nextHeader = try Self.allocate(DemoHeader.byteCount) }
      unsafe vectors[0] = IOVector(
        baseAddress: payload + position, byteCount: byteCount - position)
      unsafe vectors[1] = IOVector(baseAddress: nextHeader, byteCount: DemoHeader.byteCount)
      let count = try receive(vectorCount: 2)
      let ofPayload = min(count, byteCount - position)
      position += ofPayload
      nextHeaderFilled = count - ofPayload
    }
    sequence += 1
    received += byteCount
    let address = UInt64(UInt(bitPattern: payload))
    channel.append(token: address, offset: address, byteCount: byteCount)
  }

  private func receive(vectorCount: Int) throws -> Int {
    let count = try CommandError.wrapping("receiving the comparison") { () throws(Errno) in
      try unsafe connection.descriptor.receive(
        into: UnsafeBufferPointer(rebasing: vectors[..<vectorCount]))
    }
    guard count > 0 else { throw CommandError("the comparison's stream ended early") }
    return count
  }
}
