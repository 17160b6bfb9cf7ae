// SPDX-License-Identifier: Apache-2.0

/// A numeric IPv4 or IPv6 address and a port (`struct sockaddr_in`, `sockaddr_in6`). No names: a
/// host name is for a resolver to look up first.
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

  /// The endpoints of a host, by its name or numeric address, in the resolver's order of preference
  /// (`getaddrinfo(3)`). Waits for the resolver.
  ///
  /// - Throws: `ENXIO` for a name that nobody knows, `EAGAIN` if the resolver cannot be asked now,
  ///   `EMFILE`.
  package static func resolve(_ host: String, port: UInt16) throws(Errno) -> [TCPEndpoint] {
    var capacity = 4096
    while true {
      do throws(Errno) {
        var buffer = [CChar](repeating: 0, count: capacity)
        let used = try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
          unsafe try system_resolve(host, buffer)
        }
        var endpoints: [TCPEndpoint] = []
        for text in buffer[..<used].split(separator: 0) {
          let address = String(decoding: text.lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
          let endpoint = TCPEndpoint(address: address, port: port)
          if !endpoints.contains(endpoint) { endpoints.append(endpoint) }
        }
        return endpoints
      } catch {
        guard error == .ERANGE, capacity < 1 << 20 else { throw error }
        capacity *= 4
      }
    }
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
