// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A numeric IPv4 or IPv6 address, without a scope.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  /// In network byte order: 4 or 16.
  package let bytes: [UInt8]

  /// Whether it is an IPv6 address.
  package var isIPv6: Bool { bytes.count == 16 }

  /// Reads "192.0.2.1" or "2001:db8::1" (`inet_pton(3)`); nil for anything else.
  public init?(_ text: String) {
    for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
      var bytes = [UInt8](repeating: 0, count: count)
      if unsafe inet_pton(family, text, &bytes) == 1 {
        self.bytes = bytes
        return
      }
    }
    return nil
  }

  /// Takes 4 or 16 bytes in network byte order; nil for another count.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    self.bytes = bytes
  }

  /// "192.0.2.1", "2001:db8::1" (`inet_ntop(3)`).
  public var description: String {
    // INET6_ADDRSTRLEN
    var text = [CChar](repeating: 0, count: 46)
    let family = isIPv6 ? AF_INET6 : AF_INET
    // Fails for a family or a buffer that do not fit, which they do.
    _ = unsafe inet_ntop(family, bytes, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
