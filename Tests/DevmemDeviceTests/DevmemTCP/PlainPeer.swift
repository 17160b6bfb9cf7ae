// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Foundation

/// A TCP program that knows nothing of device memory, at the other end of the wire.
enum PlainPeer {
  /// Connects to this process's end.
  ///
  /// - Parameter port: also the own one, as devmem.py's rules demand.
  static func connect(toPort port: UInt16, isIPv6: Bool = true) throws -> SharedTCPSocket {
    try DevmemSim.atPeer {
      SharedTCPSocket(
        try .connect(
          to: TCPEndpoint(address: DevmemSim.here.address(isIPv6: isIPv6), port: port),
          from: TCPEndpoint(address: DevmemSim.peer.address(isIPv6: isIPv6), port: port)))
    }
  }

  /// Sends all bytes, as few calls as it takes.
  static func send(_ bytes: [UInt8], over socket: SharedTCPSocket) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = try unsafe rest.withUnsafeBytes { piece in
        let vector = unsafe IOVector(
          baseAddress: UnsafeMutableRawPointer(mutating: piece.baseAddress), byteCount: piece.count)
        return try unsafe withUnsafePointer(to: vector) {
          try unsafe socket.socket.descriptor.send(UnsafeBufferPointer(start: $0, count: 1))
        }
      }
      rest = rest.dropFirst(sent)
    }
  }

  /// Says that there is no more, and waits until who receives ends the connection.
  static func finish(_ socket: SharedTCPSocket) throws {
    try socket.finishSending()
    _ = try socket.socket.descriptor.wait(for: .readable, milliseconds: 60_000)
  }

  /// Connects, sends all bytes and ends.
  static func send(_ bytes: [UInt8], toPort port: UInt16, isIPv6: Bool = true) throws {
    let socket = try connect(toPort: port, isIPv6: isIPv6)
    try send(bytes, over: socket)
    try finish(socket)
  }

  /// Listens at an address of the peer.
  static func listen(isIPv6: Bool = true) throws -> SharedTCPSocket {
    try DevmemSim.atPeer {
      SharedTCPSocket(
        try .listen(on: TCPEndpoint(address: DevmemSim.peer.address(isIPv6: isIPv6), port: 0)))
    }
  }

  /// Takes one connection and reads to its end. As `Data`, which is quick to compare in a debug
  /// build, too.
  static func receiveAll(_ listener: SharedTCPSocket) throws -> Data {
    let socket = try listener.socket.accept()
    var all = Data()
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = try unsafe piece.withUnsafeMutableBytes { bytes in
        let vector = unsafe IOVector(baseAddress: bytes.baseAddress, byteCount: bytes.count)
        return try unsafe withUnsafePointer(to: vector) {
          try unsafe socket.descriptor.receive(into: UnsafeBufferPointer(start: $0, count: 1))
        }
      }
      guard count > 0 else { return all }
      all += piece[..<count]
    }
  }

  /// What ncdevmem's validation wants: 1, 2, … with every N-th byte a line's end.
  static func pattern(_ byteCount: Int, period: Int) -> [UInt8] {
    var bytes = (1..<period).map { UInt8($0) } + [10]
    // By doubling: a debug build under emulation takes its time over each single byte.
    while bytes.count < byteCount { bytes += bytes }
    return Array(bytes.prefix(byteCount))
  }
}
