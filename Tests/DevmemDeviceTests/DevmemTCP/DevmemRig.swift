// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Synchronization
import Testing

@testable import devmemctl

/// The receiving end on dmsim0: a card set up, a buffer bound to its queues, a listener. What sends
/// is a ``PeerJob``.
final class DevmemRig {
  static let period = 251
  static let pattern = BytePattern(period: period)

  let interface: NetworkInterface
  let setup: NICSetup
  let buffer: DMABuf
  let binding: NetdevBinding
  let linear: PagePool
  let port: UInt16
  let isIPv6: Bool
  private let listener: SharedTCPSocket

  init(
    byteCount: Int = 16 << 20, queues: [UInt32] = [3], port: UInt16 = 5501, isIPv6: Bool = true
  ) throws {
    interface = try NetworkInterface(named: DevmemSim.here.interface)
    self.port = port
    self.isIPv6 = isIPv6
    // Ports from here on, one for each queue.
    setup = try NICSetup(
      interface, queues: queues,
      rules: queues.enumerated().map { index, queue in
        SteeringRule(
          isIPv6 ? .tcp6 : .tcp4, destination: .init(port: port + UInt16(index)), queue: queue)
      })
    buffer = try DMABuf.udmabuf(byteCount: byteCount)
    binding = try NetdevBinding.receive(buffer, interface: interface, queues: queues)
    linear = try PagePool(provider: HostMemoryProvider(byteCount: 4 << 20))
    listener = try Self.listen(port, isIPv6: isIPv6)
  }

  deinit { binding.close() }

  static func listen(_ port: UInt16, isIPv6: Bool) throws -> SharedTCPSocket {
    SharedTCPSocket(
      try .listen(
        on: TCPEndpoint(address: DevmemSim.here.address(isIPv6: isIPv6), port: port)))
  }

  /// The next connection, as a socket that does not block.
  func accept(from listener: SharedTCPSocket? = nil, isBlocking: Bool = false) throws
    -> OwnedFileDescriptor
  {
    let socket = try (listener ?? self.listener).socket.accept().takeDescriptor()
    try socket.setBlocking(isBlocking)
    return socket
  }

  func receiver(
    _ configuration: DevmemReceiver.Configuration = DevmemReceiver.Configuration()
  ) throws -> DevmemReceiver {
    try DevmemReceiver(
      stream: accept(), binding: binding, linear: linear, configuration: configuration)
  }

  /// Buffers out of the memory in the kernel's pools.
  func poolInFlight() throws -> UInt64 {
    var family = try DevmemNet.NetdevFamily()
    return try family.pagePools().filter { $0.dmabufID == binding.id }
      .reduce(0) { $0 + $1.inFlight }
  }

  /// Unbinds, and waits until the kernel has every buffer back: it looks once a second.
  func expectAllBackAfterUnbinding(sourceLocation: SourceLocation = #_sourceLocation) throws {
    binding.close()
    for _ in 0..<500 {
      if try poolInFlight() == 0 { return }
      DeferredPackets.free()
      usleep(20_000)
    }
    Issue.record("\(try poolInFlight()) buffers are missing", sourceLocation: sourceLocation)
  }

  /// Whether a fragment has the pattern's bytes. Inside a bracket of CPU access.
  static func isPattern(_ fragment: borrowing PayloadFragment, at offset: Int) throws -> Bool {
    try fragment.withBytes { bytes in
      unsafe bytes.withUnsafeBytes { unsafe pattern.firstDifference(in: $0, at: offset) == nil }
    }
  }

  /// Whether fragments still have the pattern's bytes.
  func areIntact(_ held: [HeldFragment]) throws -> Bool {
    try buffer.withCPUAccess(.read) { try held.allSatisfy { try $0.isIntact() } }
  }

  /// Receives all there is until the stream ends, or until `byteLimit`; each fragment goes to
  /// `take` with its offset in the stream. Waits at most half a minute for more.
  @discardableResult
  func drain(
    _ receiver: inout DevmemReceiver, from start: Int = 0, to byteLimit: Int = .max,
    sourceLocation: SourceLocation = #_sourceLocation,
    exhausted: () throws -> Void = { throw DevmemSim.Failure(description: "exhausted") },
    _ take: (consuming PayloadFragment, Int) throws -> Void
  ) throws -> Int {
    var packet = receiver.makePacket()
    var offset = start
    loop: while offset < byteLimit {
      switch try receiver.receive(into: &packet) {
      case .packet:
        try buffer.withCPUAccess(.read) {
          while let fragment = packet.popFirstFragment() {
            let byteCount = fragment.byteCount
            if try !Self.isPattern(fragment, at: offset) {
              Issue.record("wrong bytes at \(offset)", sourceLocation: sourceLocation)
              throw DevmemSim.Failure(description: "wrong bytes at \(offset)")
            }
            try take(fragment, offset)
            offset += byteCount
          }
        }
      case .wouldBlock:
        if try !receiver.wait(milliseconds: 30_000) {
          throw DevmemSim.Failure(description: "nothing more after \(offset) bytes")
        }
      case .exhausted: try exhausted()
      case .endOfStream: break loop
      }
    }
    return offset
  }
}

/// A fragment where Swift wants something that can be copied.
final class HeldFragment: @unchecked Sendable {
  private var fragment: PayloadFragment?
  /// Where its bytes are in the stream.
  let streamOffset: Int

  init(_ fragment: consuming PayloadFragment, at streamOffset: Int) {
    self.streamOffset = streamOffset
    self.fragment = consume fragment
  }

  /// Whether its bytes are still what they were. Inside a bracket of CPU access.
  func isIntact() throws -> Bool {
    switch fragment {
    case .some(let fragment): return try DevmemRig.isPattern(fragment, at: streamOffset)
    case .none: throw DevmemSim.Failure(description: "the fragment has ended")
    }
  }

  var offset: UInt64? {
    switch fragment {
    case .some(let fragment): return fragment.offset
    case .none: return nil
    }
  }

  /// Ends it, on the calling thread.
  func end() { fragment = nil }
}
