// SPDX-License-Identifier: Apache-2.0

/// An AF_XDP socket with memory registered as its frames (`XDP_UMEM_REG`): the proof that packets
/// could land there. The kernel pins the memory while the value lives.
package struct XDPMemory: ~Copyable, Sendable {
  /// The socket's descriptor, close-on-exec.
  package let descriptor: OwnedFileDescriptor

  /// Opens a socket and registers memory with it.
  ///
  /// - Parameters:
  ///   - address: page-aligned. The memory has to stay mapped while packets may land in it.
  ///   - byteCount: > 0.
  ///   - chunkByteCount: bytes of one frame: a power of two, 2048 to the page size.
  ///   - headroom: bytes kept free before each packet.
  /// - Throws: `EPERM` (CAP_NET_RAW), `EAFNOSUPPORT` (kernel without CONFIG_XDP_SOCKETS), `EFAULT`
  ///   (memory that cannot be pinned, such as a dma-buf's own mapping), `ENOBUFS`
  ///   (RLIMIT_MEMLOCK), `EINVAL` (sizes).
  @unsafe package init(
    registering address: UnsafeMutableRawPointer, byteCount: Int, chunkByteCount: Int = 4096,
    headroom: Int = 0
  ) throws(Errno) {
    guard byteCount > 0, chunkByteCount > 0, headroom >= 0 else { throw .EINVAL }
    let descriptor = try system_xdpOpen()
    try unsafe system_xdpRegisterMemory(
      descriptor.rawValue, address, byteCount: byteCount, chunkByteCount: chunkByteCount,
      headroom: headroom)
    self.descriptor = descriptor
  }
}
