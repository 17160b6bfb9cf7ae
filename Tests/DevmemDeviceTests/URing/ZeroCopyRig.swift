// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Testing

@testable import devmemctl

/// Zero-copy receive on queue 3 of dmsim0: the card set up, memory registered, a listener.
final class ZeroCopyRig {
  static let queue: UInt32 = 3

  let interface: NetworkInterface
  let setup: NICSetup
  let memory: DMABuf
  let port: UInt16
  let isIPv6: Bool
  private(set) var instance: ZeroCopyInstance!
  private let listener: SharedTCPSocket

  init(
    byteCount: Int = 8 << 20, pageSize: PageSize = .base4K, port: UInt16 = 5511,
    isIPv6: Bool = true, mapping: ZeroCopyInstance.Source.MemoryMapping = .descriptor,
    receiveBufferByteCount: Int? = nil, configuration: ZeroCopyInstance.Configuration = .init()
  ) throws {
    interface = try NetworkInterface(named: DevmemSim.here.interface)
    self.port = port
    self.isIPv6 = isIPv6
    setup = try NICSetup(
      interface, queues: [Self.queue],
      rules: [
        SteeringRule(isIPv6 ? .tcp6 : .tcp4, destination: .init(port: port), queue: Self.queue)
      ])
    memory = try DMABuf.udmabuf(byteCount: byteCount, pageSize: pageSize)
    listener = try DevmemRig.listen(port, isIPv6: isIPv6)
    if let receiveBufferByteCount {
      // Connections inherit it.
      try listener.socket.setReceiveBuffer(byteCount: receiveBufferByteCount)
    }
    instance = try ZeroCopyInstance(
      memory: memory, from: .queue(interface, Self.queue, memory: mapping),
      configuration: configuration)
  }

  deinit { try? end() }

  /// Ends the instance, and puts the card back.
  func end() throws {
    instance = nil
    try setup.restore()
  }

  /// What has the queue.
  static func isBound() throws -> Bool {
    var family = try DevmemNet.NetdevFamily()
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    return try family.queue(.receive, queue, of: interface).isOnIOUring
  }

  /// A peer that sends the pattern by ordinary sends, and the end.
  func startSending(_ byteCount: Int) -> PeerJob<Void> {
    let (port, isIPv6) = (port, isIPv6)
    return PeerJob {
      let socket = SharedTCPSocket(try PeerSend.connect(port, isIPv6: isIPv6))
      try PeerSend.plain(byteCount, over: socket)
      try socket.finishSending()
    }
  }

  /// The next connection.
  func accept() throws -> OwnedFileDescriptor { try listener.socket.accept().takeDescriptor() }

  /// A receiver for the next connection.
  func receiver(
    _ configuration: ZeroCopyReceiver.Configuration = .init(waits: false)
  ) throws -> ZeroCopyReceiver {
    try ZeroCopyReceiver(
      stream: accept(), over: instance,
      configuration: configuration)
  }

  /// Receives one packet if there is one, and checks its bytes against the pattern from `offset`
  /// on.
  static func step(
    _ receiver: inout ZeroCopyReceiver, _ packet: inout Packet, _ memory: DMABuf, at offset: Int,
    _ take: (consuming PayloadFragment, Int) throws -> Void
  ) throws -> (outcome: ReceiveOutcome, byteCount: Int) {
    let outcome = try receiver.receive(into: &packet)
    var byteCount = 0
    guard outcome == .packet else { return (outcome, 0) }
    try memory.withCPUAccess(.read) {
      while let fragment = packet.popFirstFragment() {
        if try !DevmemRig.isPattern(fragment, at: offset + byteCount) {
          throw DevmemSim.Failure(description: "wrong bytes at \(offset + byteCount)")
        }
        byteCount += fragment.byteCount
        try take(fragment, offset + byteCount)
      }
    }
    return (outcome, byteCount)
  }

  /// Receives until the stream ends.
  /// - Returns: bytes.
  func drain(
    _ receiver: inout ZeroCopyReceiver,
    _ take: (consuming PayloadFragment, Int) throws -> Void = { fragment, _ in
      _ = consume fragment
    }, exhausted: () throws -> Void = {}
  ) throws -> Int {
    var packet = receiver.makePacket()
    var offset = 0
    while true {
      let (outcome, byteCount) = try Self.step(
        &receiver, &packet, memory, at: offset, take)
      offset += byteCount
      switch outcome {
      case .packet: continue
      case .exhausted: try exhausted()
      case .wouldBlock:
        if try !receiver.wait(milliseconds: 60_000) {
          throw DevmemSim.Failure(description: "nothing more after \(offset) bytes")
        }
      case .endOfStream: return offset
      }
    }
  }
}
