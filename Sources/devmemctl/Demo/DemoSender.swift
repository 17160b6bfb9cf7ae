// SPDX-License-Identifier: Apache-2.0

import DevmemNet
import DevmemSystem
import Synchronization

/// The sending side, on a thread of its own: two connections (into device memory, and into malloc'd
/// buffers for comparison), over which it sends slices of the source when told to.
final class DemoSender: Sendable {
  /// Which connection.
  enum Path: UInt64, Sendable {
    case device = 0
    case malloc = 1
  }

  /// "Send these bytes over that connection." Goes over a socket pair, whose end says that it was
  /// the last.
  private struct Order: BitwiseCopyable {
    var path: UInt64
    var offset: Int
    var byteCount: Int
  }

  private final class Result: Sendable {
    let digest = Mutex<[UInt8]>([])
  }

  private let orders: UnixSocket
  private let thread: BackgroundThread
  private let result = Result()

  init(
    source: DemoSource, device: consuming TCPSocket, malloc: consuming TCPSocket,
    payloadByteCount: Int
  ) throws {
    let (near, far) = try CommandError.wrapping("making a pair of Unix sockets") {
      () throws(Errno) in try UnixSocket.pair()
    }
    orders = near
    let connections = Connections(device.takeDescriptor(), malloc.takeDescriptor())
    thread = BackgroundThread { [result] in
      let digest = try Self.run(far, source, connections, payloadByteCount)
      result.digest.withLock { $0 = digest }
    }
  }

  /// Tells the thread to send a range of the source.
  func send(_ path: Path, offset: Int, byteCount: Int) throws {
    let order = Order(path: path.rawValue, offset: offset, byteCount: byteCount)
    try CommandError.wrapping("telling the sender what to send") { () throws(Errno) in
      try unsafe withUnsafeBytes(of: order) { bytes throws(Errno) in
        _ = try orders.send(bytes)
      }
    }
  }

  /// What stopped the thread early, if something did.
  var failure: (any Error)? { thread.failure }

  /// Ends the thread. Returns the SHA-256 of all bytes sent into device memory.
  func finish() throws -> [UInt8] {
    // Nothing to send is the last order.
    try send(.device, offset: 0, byteCount: 0)
    try thread.join()
    return result.digest.withLock { $0 }
  }

  /// The connections on their way to the thread.
  private final class Connections: Sendable {
    private let device: Mutex<OwnedFileDescriptor?>
    private let malloc: Mutex<OwnedFileDescriptor?>

    init(_ device: consuming OwnedFileDescriptor, _ malloc: consuming OwnedFileDescriptor) {
      self.device = Mutex(device)
      self.malloc = Mutex(malloc)
    }

    /// The sender over one of them, once.
    func takeSender(_ path: Path) -> HeaderSplitSender {
      switch path {
      case .device: HeaderSplitSender(socket: device.withLock { $0.take()! })
      case .malloc: HeaderSplitSender(socket: malloc.withLock { $0.take()! })
      }
    }
  }

  /// However it ends, it closes the connections: whoever still waits for bytes learns that there
  /// will be none.
  private static func run(
    _ orders: UnixSocket, _ source: DemoSource, _ connections: Connections,
    _ payloadByteCount: Int
  ) throws -> [UInt8] {
    var toDevice = Stream(
      sender: connections.takeSender(.device), payloadByteCount: payloadByteCount)
    var toMalloc = Stream(
      sender: connections.takeSender(.malloc), payloadByteCount: payloadByteCount)
    let reader = try source.open()
    var order = Order(path: 0, offset: 0, byteCount: 0)
    while true {
      let count = try unsafe withUnsafeMutableBytes(of: &order) {
        try orders.receive(into: $0).byteCount
      }
      guard count == MemoryLayout<Order>.size, order.byteCount > 0 else {
        return toDevice.finish()
      }
      switch Path(rawValue: order.path) {
      case .device?: try toDevice.send(reader, offset: order.offset, byteCount: order.byteCount)
      default: try toMalloc.send(reader, offset: order.offset, byteCount: order.byteCount)
      }
    }
  }

  /// One connection: cuts a range into packets, sends and hashes them.
  @safe
  private struct Stream: ~Copyable {
    private var sender: HeaderSplitSender
    private var hash = SHA256()
    private var sequence: UInt64 = 0
    // SAFETY: both allocated in init, freed in deinit, used by this value's members alone.
    private let header: UnsafeMutableRawBufferPointer
    private let payload: UnsafeMutableRawBufferPointer

    deinit {
      unsafe header.deallocate()
      unsafe payload.deallocate()
    }

    init(sender: consuming HeaderSplitSender, payloadByteCount: Int) {
      self.sender = sender
      unsafe header = .allocate(byteCount: DemoHeader.byteCount, alignment: 64)
      unsafe payload = .allocate(byteCount: payloadByteCount, alignment: 4096)
    }

    mutating func send(
      _ reader: borrowing DemoSource.Reader, offset: Int, byteCount: Int
    ) throws {
      var sent = 0
      while sent < byteCount {
        let count = unsafe min(payload.count, byteCount - sent)
        let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: payload[..<count])
        try unsafe reader.read(at: offset + sent, into: bytes)
        unsafe hash.update(UnsafeRawBufferPointer(bytes))
        unsafe DemoHeader(
          sequence: sequence, offset: UInt64(offset + sent), payloadByteCount: UInt64(count)
        ).store(into: header)
        try unsafe sender.send(
          header: RawSpan(_unsafeBytes: UnsafeRawBufferPointer(header)),
          payload: RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes)))
        sequence += 1
        sent += count
      }
    }

    /// The SHA-256 of all that was sent.
    mutating func finish() -> [UInt8] {
      var last = SHA256()
      swap(&last, &hash)
      return last.finalize()
    }
  }
}
