// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import DevmemSystem

/// What the running kernel knows of zero-copy receive, by its own word (`IORING_REGISTER_QUERY`),
/// never by its version.
package struct ZeroCopyCapabilities: Hashable, Sendable {
  /// Receiving without a network device (`ZCRX_REG_NODEV`): any socket, all bytes copied once.
  package let hasNoDevice: Bool
  /// `ZCRX_REG_*` that the kernel knows.
  package let registerFlags: UInt64
  /// `IORING_ZCRX_AREA_*` that the kernel knows.
  package let areaFlags: UInt64
  /// Number of `ZCRX_CTRL_*` operations.
  package let controlCount: Int
  /// `ZCRX_FEATURE_*`.
  package let features: UInt32
  /// Whether a card's buffers may be larger than a page (`ZCRX_FEATURE_RX_PAGE_SIZE`).
  package var hasBufferSize: Bool { features & CURING_ZEROCOPY_BUFFER_SIZE != 0 }
  /// Whether the kernel says when it copies or has no buffer, and counts (`ZCRX_FEATURE_EVENT`).
  package var hasEvents: Bool { features & CURING_ZEROCOPY_EVENTS != 0 }
  /// Whether memory can be added at run time: `ZCRX_CTRL_ADD_AREA` is the fourth operation.
  package var canGrow: Bool { controlCount >= 4 }
  /// Whether a dma-buf is taken by its descriptor: `IORING_ZCRX_AREA_DMABUF` is the first flag.
  package var takesDMABufs: Bool { areaFlags & 1 != 0 }
  /// Bytes before the entries of a refill ring.
  let refillHeaderByteCount: UInt32

  /// Asks the kernel.
  /// - Throws: ``URingError``: `.kernelUnsupported` from one that cannot be asked or does not know
  ///   zero-copy receive, `.disabled`, `.filtered`.
  package static func query() throws(URingError) -> ZeroCopyCapabilities {
    let answer: curing_zerocopy_capabilities
    do throws(Errno) {
      answer = try uring_query()
    } catch {
      throw .querying(error)
    }
    return ZeroCopyCapabilities(
      hasNoDevice: answer.register_flags & CURING_ZEROCOPY_NODEV != 0,
      registerFlags: answer.register_flags, areaFlags: answer.area_flags,
      controlCount: Int(answer.control_count), features: answer.features,
      refillHeaderByteCount: answer.refill_header_byte_count)
  }

  /// Bytes of memory for a refill ring.
  func refillByteCount(entryCount: Int) -> Int {
    let answer = curing_zerocopy_capabilities(
      register_flags: registerFlags, area_flags: areaFlags, control_count: UInt32(controlCount),
      features: features, refill_header_byte_count: refillHeaderByteCount)
    return unsafe withUnsafePointer(to: answer) {
      unsafe curing_zerocopy_refill_byte_count($0, UInt32(entryCount))
    }
  }
}
