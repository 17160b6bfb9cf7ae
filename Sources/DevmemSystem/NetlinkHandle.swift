// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// Owns one of libmnl's sockets (`struct mnl_socket`): its memory and its descriptor.
@safe struct NetlinkHandle: ~Copyable, @unchecked Sendable {
  // SAFETY: made by csystem_netlink_open, freed in deinit, and reached through this value alone.
  // libmnl keeps nothing per thread, so that the value may move between threads.
  private let socket: UnsafeMutableRawPointer

  deinit {
    unsafe system_netlinkClose(socket)
  }

  init() throws(Errno) {
    unsafe socket = try system_netlinkOpen()
  }

  var descriptor: Int32 { unsafe csystem_netlink_descriptor(socket) }

  var port: UInt32 { unsafe csystem_netlink_port(socket) }

  func setStrict() throws(Errno) { try unsafe system_netlinkSetStrict(socket) }

  func setTimeLimit(milliseconds: Int) throws(Errno) {
    try unsafe system_netlinkSetTimeLimit(socket, milliseconds: milliseconds)
  }

  func join(group: UInt32) throws(Errno) { try unsafe system_netlinkJoin(socket, group: group) }

  func send(_ bytes: [UInt8]) throws(Errno) {
    if SystemCallSeam.answersNetlink(bytes, port) { return }
    try unsafe bytes.withUnsafeBufferPointer { bytes throws(Errno) in
      try unsafe system_netlinkSend(socket, UnsafeRawBufferPointer(bytes))
    }
  }

  /// One datagram, shortened to what came.
  func receive(capacity: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: capacity)
    let count = try unsafe bytes.withUnsafeMutableBufferPointer { bytes throws(Errno) in
      try unsafe system_netlinkReceive(socket, UnsafeMutableRawBufferPointer(bytes))
    }
    bytes.removeLast(capacity - count)
    return bytes
  }
}
