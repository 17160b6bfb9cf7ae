// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Asks generic netlink which commands the `netdev` family has (CTRL_CMD_GETFAMILY; see
/// Documentation/netlink/genetlink.rst and include/uapi/linux/genetlink.h).
///
/// Needs no privilege. One request, one answer; this is not a netlink library.
enum NetdevFamily {
  // include/uapi/linux/netlink.h, genetlink.h, netdev.h.
  private static let netlinkGeneric: Int32 = 16
  private static let controllerFamily: UInt16 = 16
  private static let requestFlag: UInt16 = 1
  private static let errorMessage: UInt16 = 2
  private static let getFamilyCommand: UInt8 = 3
  private static let familyNameAttribute: UInt16 = 2
  private static let operationsAttribute: UInt16 = 6
  private static let operationIDAttribute: UInt16 = 1
  private static let bindReceiveCommand: UInt32 = 13

  /// Whether `bind-rx` is listed.
  static func bindReceiveSupport() -> Probe.Support {
    let descriptor = socket(
      AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), netlinkGeneric)
    guard descriptor >= 0 else {
      return .unknown("no generic netlink socket: \(errorText(errno))")
    }
    defer { close(descriptor) }
    // Never wait for an answer that does not come.
    var patience = timeval(tv_sec: 2, tv_usec: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))

    let question = request()
    guard
      unsafe question.withUnsafeBytes({
        unsafe send(descriptor, $0.baseAddress, $0.count, 0)
      }) == question.count
    else { return .unknown("generic netlink does not answer: \(errorText(errno))") }
    var answer = [UInt8](repeating: 0, count: 32_768)
    let count = unsafe answer.withUnsafeMutableBytes {
      unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
    }
    guard count > 0 else {
      return .unknown("generic netlink does not answer: \(errorText(errno))")
    }
    return parse(answer[..<count])
  }

  /// nlmsghdr, genlmsghdr, and the family's name as the only attribute.
  private static func request() -> [UInt8] {
    var body: [UInt8] = [getFamilyCommand, 2, 0, 0]
    let name = Array("netdev".utf8) + [0]
    body += bytes(UInt16(4 + name.count)) + bytes(familyNameAttribute) + name
    while body.count % 4 != 0 { body.append(0) }
    return bytes(UInt32(16 + body.count)) + bytes(controllerFamily) + bytes(requestFlag)
      + bytes(UInt32(1)) + bytes(UInt32(0)) + body
  }

  /// Reads an answer: the family's operations, or an error message (ENOENT: no such family).
  static func parse(_ answer: ArraySlice<UInt8>) -> Probe.Support {
    guard answer.count >= 20 else { return .unknown("generic netlink gave a short answer") }
    if integer(answer.dropFirst(4), UInt16.self) == errorMessage {
      let error = -(integer(answer.dropFirst(16), Int32.self) ?? 0)
      return error == ENOENT ? .absent : .unknown(errorText(error))
    }
    for attribute in attributes(answer.dropFirst(20)) where attribute.type == operationsAttribute {
      for operation in attributes(attribute.payload) {
        for field in attributes(operation.payload) where field.type == operationIDAttribute {
          if integer(field.payload, UInt32.self) == bindReceiveCommand { return .present }
        }
      }
    }
    return .absent
  }

  /// Splits a run of `nlattr`s; stops at the first one that does not fit.
  private static func attributes(
    _ bytes: ArraySlice<UInt8>
  ) -> [(type: UInt16, payload: ArraySlice<UInt8>)] {
    var rest = bytes
    var found: [(type: UInt16, payload: ArraySlice<UInt8>)] = []
    while let length = integer(rest, UInt16.self),
      let type = integer(rest.dropFirst(2), UInt16.self), length >= 4, Int(length) <= rest.count
    {
      // The two top bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER.
      found.append((type & 0x3FFF, rest.dropFirst(4).prefix(Int(length) - 4)))
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
    return found
  }

  private static func integer<Value: FixedWidthInteger>(
    _ bytes: ArraySlice<UInt8>, _: Value.Type
  ) -> Value? {
    guard bytes.count >= MemoryLayout<Value>.size else { return nil }
    var value: Value = 0
    for (position, byte) in bytes.prefix(MemoryLayout<Value>.size).enumerated() {
      value |= Value(truncatingIfNeeded: byte) << Value(position * 8)
    }
    return Value(littleEndian: value).littleEndian
  }

  private static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    (0..<MemoryLayout<Value>.size).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
}
