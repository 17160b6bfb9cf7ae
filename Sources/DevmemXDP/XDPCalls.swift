// SPDX-License-Identifier: Apache-2.0

internal import CXDPShims
internal import DevmemSystem

// One function per call into the kernel, through the seam of the tests. As in DevmemSystem, EINTR
// is retried.

/// What the rings of a socket are to have, each a power of two.
struct XDPRingCounts {
  let fill: Int
  let completion: Int
  let receive: Int
  let transmit: Int
}

func xdp_socketOpen(
  _ bytes: UnsafeMutableRawBufferPointer, chunkByteCount: Int, _ counts: XDPRingCounts
) throws(Errno) -> OpaquePointer {
  var socket: OpaquePointer?
  try SystemCallSeam.perform(.xdpSocketOpen) {
    unsafe cxdp_socket_open(
      bytes.baseAddress, UInt64(bytes.count), UInt32(chunkByteCount), UInt32(counts.fill),
      UInt32(counts.completion), &socket)
  }
  guard let socket = unsafe socket else { fatalError("cxdp_socket_open made none") }
  return unsafe socket
}

func xdp_socketBind(
  _ socket: OpaquePointer, interface: String, queue: Int, _ counts: XDPRingCounts, flags: UInt32
) throws(Errno) {
  try SystemCallSeam.perform(.xdpSocketBind) {
    unsafe cxdp_socket_bind(
      socket, interface, UInt32(queue), UInt32(counts.receive), UInt32(counts.transmit), flags)
  }
}

/// Has the kernel look at the transmit ring.
func xdp_kick(_ socket: OpaquePointer) throws(Errno) {
  try SystemCallSeam.perform(.xdpKick) { unsafe cxdp_socket_kick(socket) }
}

/// Has the kernel look at the fill ring.
func xdp_wake(_ socket: OpaquePointer) throws(Errno) {
  try SystemCallSeam.perform(.xdpKick) { unsafe cxdp_socket_wake(socket) }
}

func xdp_isZeroCopy(_ socket: OpaquePointer) throws(Errno) -> Bool {
  try SystemCallSeam.perform(.xdpOptions) { unsafe cxdp_socket_is_zero_copy(socket) } == 1
}

func xdp_statistics(_ socket: OpaquePointer) throws(Errno) -> cxdp_statistics {
  var statistics = cxdp_statistics()
  try SystemCallSeam.perform(.xdpStatistics) { unsafe cxdp_socket_statistics(socket, &statistics) }
  return statistics
}

func xdp_tableCreate(queueCount: Int) throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(
    owning: Int32(
      try SystemCallSeam.perform(.xdpTableCreate) { cxdp_table_create(UInt32(queueCount)) }))
}

func xdp_tableSet(
  _ table: borrowing OwnedFileDescriptor, queue: Int, socket: Int32
) throws(Errno) {
  try SystemCallSeam.perform(.xdpTableSet) { cxdp_table_set(table.rawValue, UInt32(queue), socket) }
}

/// Made even when the seam forces an errno: the kernel removes a closed socket by itself as well.
func xdp_tableRemove(_ table: borrowing OwnedFileDescriptor, queue: Int) {
  SystemCallSeam.performReleasing(.xdpTableRemove) {
    cxdp_table_remove(table.rawValue, UInt32(queue))
  }
}

func xdp_programLoad(
  _ table: borrowing OwnedFileDescriptor, udpPort: Int, isMultiBuffer: Bool
) throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(
    owning: Int32(
      try SystemCallSeam.perform(.xdpProgramLoad) {
        cxdp_program_load(table.rawValue, Int32(udpPort), isMultiBuffer)
      }))
}

func xdp_programAttach(
  _ program: borrowing OwnedFileDescriptor, interfaceIndex: Int, isGeneric: Bool
) throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(
    owning: Int32(
      try SystemCallSeam.perform(.xdpProgramAttach) {
        cxdp_program_attach(program.rawValue, UInt32(interfaceIndex), isGeneric)
      }))
}
