// SPDX-License-Identifier: Apache-2.0

/// Where received bytes are (`struct dmabuf_cmsg`, include/uapi/linux/uio.h): in the bound dma-buf,
/// or copied to the receiver's own memory.
@frozen
package struct DMABufMessage: BitwiseCopyable, Hashable, Sendable {
  // The layout of struct csystem_devmem_fragment.

  /// Bytes from the start of the dma-buf (`frag_offset`).
  package let offset: UInt64
  /// How many bytes (`frag_size`).
  package let byteCount: UInt32
  /// What to give back when the bytes are no longer needed (`frag_token`): 1 to 2^31-1, of one
  /// socket.
  package let token: UInt32
  /// The bound dma-buf's id (`dmabuf_id`).
  package let bindingID: UInt32
  private let linearFlag: UInt32

  /// Bytes in device memory, as the kernel would describe them.
  package init(offset: UInt64, byteCount: UInt32, token: UInt32, bindingID: UInt32) {
    self.offset = offset
    self.byteCount = byteCount
    self.token = token
    self.bindingID = bindingID
    linearFlag = 0
  }

  /// Whether the bytes were copied (`SO_DEVMEM_LINEAR`); then only ``byteCount`` means something.
  package var isLinear: Bool { linearFlag != 0 }
}

/// Consecutive tokens (`struct dmabuf_token`, include/uapi/linux/uio.h).
@frozen
package struct DMABufTokenRange: BitwiseCopyable, Hashable, Sendable {
  // The layout of struct csystem_devmem_token_range.

  /// The first token.
  package let first: UInt32
  /// How many.
  package var count: UInt32

  /// Tokens `first ..< first + count`.
  package init(first: UInt32, count: UInt32) {
    self.first = first
    self.count = count
  }
}
