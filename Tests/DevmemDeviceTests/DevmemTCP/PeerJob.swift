// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Synchronization

@testable import devmemctl

/// Something that goes on at the peer, in its namespace and on a thread of its own, while the test
/// receives.
final class PeerJob<Result: Sendable>: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private let result = Mutex<Swift.Result<Result, any Error>?>(nil)

  init(_ body: @escaping @Sendable () throws -> Result) {
    Thread.detachNewThread { [self] in
      let outcome = Swift.Result { try DevmemSim.atPeer(body) }
      result.withLock { $0 = outcome }
      done.signal()
    }
  }

  /// Waits for its end. To be called once.
  func join() throws -> Result {
    done.wait()
    return try result.withLock { $0! }.get()
  }
}

/// What sends at the peer.
enum PeerSend {
  /// What a sender has seen.
  struct Outcome: Sendable {
    var statistics: DevmemSender.Statistics
    var heldCount: Int
  }

  static func connect(_ port: UInt16, isIPv6: Bool) throws -> TCPSocket {
    try TCPSocket.connect(
      to: TCPEndpoint(address: DevmemSim.here.address(isIPv6: isIPv6), port: port),
      interface: DevmemSim.peer.interface)
  }

  /// The pattern out of device memory, in packets of random sizes, whose buffers are filled to
  /// random lengths.
  static func devmem(
    _ byteCount: Int, port: UInt16 = 5501, isIPv6: Bool = true, seed: UInt64 = 1,
    pattern: BytePattern = DevmemRig.pattern
  ) throws -> Outcome {
    let interface = try NetworkInterface(named: DevmemSim.peer.interface)
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20)
    let binding = try NetdevBinding.transmit(buffer, interface: interface)
    let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
    return try devmem(
      byteCount, over: binding, carving, port: port, isIPv6: isIPv6, seed: seed, pattern: pattern)
  }

  static func devmem(
    _ byteCount: Int, over binding: NetdevBinding, _ carving: DMABufCarving, port: UInt16,
    isIPv6: Bool = true, seed: UInt64 = 1, pattern: BytePattern = DevmemRig.pattern
  ) throws -> Outcome {
    var random = SeededGenerator(seed: seed)
    let pool = try PagePool(provider: DMABufMemoryProvider(carving))
    var sender = try DevmemSender(
      stream: connect(port, isIPv6: isIPv6).takeDescriptor(), binding: binding,
      carving: carving,
      configuration: DevmemSender.Configuration(fragmentLimit: 256, callLimit: 16))
    var packet = Packet(fragmentCapacity: 64)
    var sent = 0
    while sent < byteCount {
      let count = Int.random(in: 1...64, using: &random)
      while packet.fragmentCount < count, sent < byteCount {
        guard var netmem = pool.allocate() else {
          if packet.fragmentCount > 0 { break }
          _ = try sender.awaitCompletions(leaving: max(0, sender.callsInFlight - 1))
          continue
        }
        let start = Bool.random(using: &random) ? 0 : Int.random(in: 0..<4000, using: &random)
        let size = min(netmem.byteCount - start, byteCount - sent)
        try carving.buffer.withCPUAccess(.write) {
          try netmem.withMutableBytes { bytes in
            unsafe bytes.withUnsafeMutableBytes { bytes in
              let place = unsafe UnsafeMutableRawBufferPointer(
                rebasing: bytes[start..<start + size])
              unsafe pattern.fill(place, at: sent)
            }
          }
        }
        packet.append(PayloadFragment(netmem: netmem, offsetInIOV: start, byteCount: size))
        sent += size
      }
      try sender.sendAll(&packet)
    }
    try sender.finish()
    _ = try sender.awaitCompletions()
    return Outcome(statistics: sender.statistics, heldCount: pool.inFlight.held)
  }

  /// The pattern from ordinary memory, by ordinary sends.
  static func plain(_ byteCount: Int, over socket: SharedTCPSocket, from start: Int = 0) throws {
    var block = [UInt8](repeating: 0, count: 64 << 10)
    var sent = 0
    while sent < byteCount {
      let size = min(block.count, byteCount - sent)
      try unsafe block.withUnsafeMutableBytes { bytes in
        let place = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<size])
        unsafe DevmemRig.pattern.fill(place, at: start + sent)
        var done = 0
        while done < size {
          let vector = unsafe IOVector(
            baseAddress: place.baseAddress! + done, byteCount: size - done)
          done += try unsafe withUnsafePointer(to: vector) {
            try unsafe socket.socket.descriptor.send(UnsafeBufferPointer(start: $0, count: 1))
          }
        }
      }
      sent += size
    }
  }
}
