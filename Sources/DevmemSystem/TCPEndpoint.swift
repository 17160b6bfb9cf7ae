// SPDX-License-Identifier: Apache-2.0

/// A numeric IPv4 or IPv6 address and a port (`struct sockaddr_in`, `sockaddr_in6`). No names: nothing
/// here asks a resolver.
public struct TCPEndpoint: Hashable, Sendable, CustomStringConvertible {
  /// "192.0.2.1", "2001:db8::1", "fe80::1%eth0". Checked by the kernel call that uses it.
  public let address: String
  /// The port, 0 where the kernel may choose.
  public let port: UInt16

  /// An address and a port.
  public init(address: String, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// 127.0.0.1.
  public static func loopback(port: UInt16) -> TCPEndpoint {
    TCPEndpoint(address: "127.0.0.1", port: port)
  }

  /// Whether the address is written as an IPv6 one.
  package var isIPv6: Bool { address.contains(":") }

  /// "192.0.2.1:80", "[2001:db8::1]:80".
  public var description: String { isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}
