// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Two pools and a socket pair: the ground of every receiver test.
///
/// Headers are 64 bytes: the payload's size in 8 bytes, little endian, then bytes that follow from
/// it. A size with the top bit set makes no sense to the framing rule.
final class Wire {
  static let headerByteCount = 64

  let headers: PagePool
  let payload: PagePool
  let payloadProvider: ListProvider
  private let near: UnixSocket
  private let far: UnixSocket

  init(
    headerCount: Int = 8, iovCount: Int = 64, iovByteCount: Int = 1024,
    kind: UnixSocket.Kind = .stream, hasCPUMapping: Bool = true, isBlocking: Bool = false
  ) throws {
    headers = try PagePool(provider: try ListProvider(iovCount: headerCount))
    payloadProvider = try ListProvider(
      iovCount: iovCount, iovByteCount: iovByteCount, kind: .device, hasCPUMapping: hasCPUMapping)
    payloadProvider.setAccess(readers: 1, writers: 1)
    payload = try PagePool(provider: payloadProvider)
    (near, far) = try UnixSocket.pair(kind: kind)
    if !isBlocking {
      let flags = fcntl(near.descriptor.rawValue, F_GETFL)
      try #require(fcntl(near.descriptor.rawValue, F_SETFL, flags | O_NONBLOCK) == 0)
    }
  }

  static func framing(maximum: Int) -> HeaderFraming {
    HeaderFraming(headerByteCount: headerByteCount, maximumPayloadByteCount: maximum) { header in
      let size = unsafe header.unsafeLoadUnaligned(as: UInt64.self)
      return Int(exactly: size)
    }
  }

  func receiver(maximum: Int) throws -> HeaderSplitReceiver {
    try HeaderSplitReceiver(
      stream: near.descriptor.duplicate(), framing: Self.framing(maximum: maximum),
      headers: headers, payload: payload)
  }

  func datagramReceiver(maximum: Int) throws -> HeaderSplitReceiver {
    try HeaderSplitReceiver(
      datagrams: near.descriptor.duplicate(), headerByteCount: Self.headerByteCount,
      maximumPayloadByteCount: maximum, headers: headers, payload: payload)
  }

  func unframedReceiver(maximum: Int) throws -> HeaderSplitReceiver {
    try HeaderSplitReceiver(
      unframed: near.descriptor.duplicate(), maximumByteCount: maximum, payload: payload)
  }

  func sender() throws -> HeaderSplitSender {
    HeaderSplitSender(socket: try far.descriptor.duplicate())
  }

  /// Sends bytes as they are.
  func write(_ bytes: some Collection<UInt8>) throws {
    var rest = Array(bytes)[...]
    while !rest.isEmpty { rest = rest.dropFirst(try far.send(Array(rest))) }
  }

  /// The peer has nothing more to say.
  func finish() { #expect(shutdown(far.descriptor.rawValue, Int32(SHUT_WR)) == 0) }

  /// Buffers with the user, of both pools.
  var heldCount: Int { headers.inFlight.held + payload.inFlight.held }

  static func header(size: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: size >> ($0 * 8)) }
      + (8..<UInt64(headerByteCount)).map { UInt8(truncatingIfNeeded: $0 &+ size) }
  }

  static func packet(_ payload: [UInt8]) -> [UInt8] {
    header(size: UInt64(payload.count)) + payload
  }
}

extension Packet {
  /// The header's bytes.
  func headerBytes() throws -> [UInt8] {
    try withHeader { bytes in
      bytes.indices.map { unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
  }

  /// The payload's bytes, in order.
  func payloadBytes() throws -> [UInt8] {
    var all: [UInt8] = []
    for position in 0..<fragmentCount {
      all += try withFragment(at: position) { fragment in
        try fragment.withBytes { bytes in
          bytes.indices.map { unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
      }
    }
    return all
  }
}

extension RawSpan {
  /// Where its bytes are.
  var indices: Range<Int> { 0..<byteCount }
}
