// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A generic netlink request in the making: a command of a family, and attributes.
///
/// An attribute, also a nest with all in it, holds at most 65531 bytes (`nla_len` has 16 bits). A
/// request with a longer one is not sent: asking throws `EMSGSIZE`.
package struct NetlinkRequest: Sendable {
  /// The message, with room behind it.
  private var buffer: [UInt8]
  private var byteCount: Int
  /// An attribute was longer than one can be.
  private(set) var isTooLong = false

  /// A request without attributes.
  ///
  /// - Parameters:
  ///   - family: the family's number; see ``GenericNetlinkFamily``.
  ///   - command: a number of the family's commands.
  ///   - version: of the family.
  package init(family: UInt16, command: UInt8, version: UInt8) {
    buffer = [UInt8](repeating: 0, count: 256)
    byteCount = unsafe Int(csystem_netlink_begin(&buffer, 256, family, command, version))
  }

  /// Appends an `NLA_U8`.
  package mutating func append(_ name: some NetlinkAttributeName, uint8 value: UInt8) {
    append(name.rawValue, [value])
  }

  /// Appends an `NLA_U32`.
  package mutating func append(_ name: some NetlinkAttributeName, uint32 value: UInt32) {
    append(name.rawValue, Self.bytes(value))
  }

  /// Appends an `NLA_UINT`: 4 bytes where they suffice, else 8.
  package mutating func append(_ name: some NetlinkAttributeName, unsigned value: UInt64) {
    append(name.rawValue, UInt32(exactly: value).map(Self.bytes) ?? Self.bytes(value))
  }

  /// Appends an `NLA_NUL_STRING`.
  package mutating func append(_ name: some NetlinkAttributeName, string: String) {
    append(name.rawValue, Array(string.utf8) + [0])
  }

  /// Appends an `NLA_BINARY` that holds an array of `u32`.
  package mutating func append(_ name: some NetlinkAttributeName, uint32Array values: [UInt32]) {
    append(name.rawValue, values.flatMap { Self.bytes($0) })
  }

  /// Appends an `NLA_BINARY`.
  package mutating func append(_ name: some NetlinkAttributeName, bytes: [UInt8]) {
    append(name.rawValue, bytes)
  }

  /// Appends an `NLA_NESTED` with what the closure appends inside.
  package mutating func append(
    _ name: some NetlinkAttributeName, nest: (inout NetlinkRequest) -> Void
  ) {
    let offset = growing {
      unsafe csystem_netlink_nest_begin(&$0, $0.count, name.rawValue)
    }
    byteCount = offset + 4
    nest(&self)
    let end = unsafe csystem_netlink_nest_end(&buffer, offset)
    if end < 0 { isTooLong = true } else { byteCount = Int(end) }
  }

  /// The attributes so far.
  var attributes: NetlinkAttributes {
    NetlinkAttributes(buffer[Self.headerByteCount..<byteCount])
  }

  /// Which attributes an offset in the message lies in, the outermost first: what a refusal's
  /// ``NetlinkFailure/badAttributeOffset`` points at.
  package func path(to offset: Int) -> [UInt16] {
    var path: [UInt16] = []
    var run = buffer[..<byteCount].dropFirst(Self.headerByteCount)
    // Deeper only while the offset points behind a header: it points at headers.
    while let (attribute, start) = Self.attribute(in: run, over: offset) {
      path.append(attribute.type)
      if start == offset { break }
      run = attribute.bytes
    }
    return path
  }

  /// The finished message.
  func message(flags: UInt16, sequence: UInt32) -> [UInt8] {
    var message = Array(buffer[..<byteCount])
    unsafe csystem_netlink_set_header(&message, flags, sequence)
    return message
  }

  /// struct nlmsghdr and struct genlmsghdr.
  private static let headerByteCount = 20

  private static func attribute(
    in run: ArraySlice<UInt8>, over offset: Int
  ) -> (NetlinkAttribute, start: Int)? {
    for attribute in NetlinkAttributes(run) {
      let start = attribute.bytes.startIndex - 4
      if offset >= start, offset < max(attribute.bytes.endIndex, start + 4) {
        return (attribute, start)
      }
    }
    return nil
  }

  private mutating func append(_ type: UInt16, _ bytes: [UInt8]) {
    guard bytes.count <= 65531 else {
      isTooLong = true
      return
    }
    byteCount = growing {
      unsafe csystem_netlink_put(&$0, $0.count, type, bytes, bytes.count)
    }
  }

  /// Repeats what says EMSGSIZE in twice the room.
  private mutating func growing(_ body: (inout [UInt8]) -> Int64) -> Int {
    while true {
      let result = body(&buffer)
      if result >= 0 { return Int(result) }
      buffer.append(contentsOf: repeatElement(0, count: buffer.count))
    }
  }

  private static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
  }
}
