// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// The names of one set of attributes: the numbers of an enum in a family's uapi header.
package protocol NetlinkAttributeName: RawRepresentable, Sendable where RawValue == UInt16 {}

/// One attribute of a message (`struct nlattr`, include/uapi/linux/netlink.h).
///
/// The values are checked for their length only; what is too short or too long is nil.
package struct NetlinkAttribute: Sendable {
  /// The number, without the flags in its upper bits.
  package let type: UInt16
  /// Its bytes, without padding.
  package let bytes: ArraySlice<UInt8>

  /// `NLA_U8`.
  package var uint8: UInt8? { integer() }
  /// `NLA_U16`.
  package var uint16: UInt16? { integer() }
  /// `NLA_U32`.
  package var uint32: UInt32? { integer() }
  /// `NLA_U64`.
  package var uint64: UInt64? { integer() }
  /// `NLA_UINT`, which the kernel sends in 4 bytes where they suffice, else in 8.
  package var unsigned: UInt64? { uint32.map(UInt64.init) ?? uint64 }

  /// `NLA_STRING` and `NLA_NUL_STRING`: the text up to its NUL.
  package var string: String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }

  /// `NLA_BINARY` that holds an array of `u32`.
  package var uint32Array: [UInt32]? {
    guard bytes.count % 4 == 0 else { return nil }
    return stride(from: bytes.startIndex, to: bytes.endIndex, by: 4).map {
      Self.integer(bytes[$0..<$0 + 4])
    }
  }

  /// `NLA_NESTED`: the attributes inside.
  package var attributes: NetlinkAttributes { NetlinkAttributes(bytes) }

  private func integer<Value: FixedWidthInteger>() -> Value? {
    bytes.count == MemoryLayout<Value>.size ? Self.integer(bytes) : nil
  }

  private static func integer<Value: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Value {
    var value: Value = 0
    for (position, byte) in bytes.enumerated() {
      value |= Value(truncatingIfNeeded: byte) << Value(position * 8)
    }
    // Netlink speaks the byte order of the machine.
    return Value(littleEndian: value)
  }
}

/// A run of attributes, as a message or a nest holds them. Ends at the first that does not fit.
package struct NetlinkAttributes: Sequence, Sendable {
  private let bytes: ArraySlice<UInt8>

  /// Reads the bytes of a message after its headers, or of a nest.
  package init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
  }

  /// The first attribute of that name.
  package subscript(name: some NetlinkAttributeName) -> NetlinkAttribute? {
    first { $0.type == name.rawValue }
  }

  /// All attributes of that name, in order: how netlink sends lists.
  package func all(_ name: some NetlinkAttributeName) -> [NetlinkAttribute] {
    filter { $0.type == name.rawValue }
  }

  /// Goes through the attributes in order.
  package func makeIterator() -> Iterator { Iterator(bytes: bytes) }

  /// Goes through the attributes in order.
  package struct Iterator: IteratorProtocol {
    fileprivate let bytes: ArraySlice<UInt8>
    private var offset = 0

    fileprivate init(bytes: ArraySlice<UInt8>) {
      self.bytes = bytes
    }

    /// The next one.
    package mutating func next() -> NetlinkAttribute? {
      var found = csystem_netlink_attribute()
      let isFound = unsafe bytes.withUnsafeBytes { bytes in
        unsafe csystem_netlink_attribute_at(bytes.baseAddress, bytes.count, offset, &found)
      }
      guard isFound == 1 else { return nil }
      offset = found.next_offset
      let start = bytes.startIndex + found.payload_offset
      return NetlinkAttribute(
        type: found.type, bytes: bytes[start..<start + found.payload_count])
    }
  }
}
