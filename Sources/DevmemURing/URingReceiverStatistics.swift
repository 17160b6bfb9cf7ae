// SPDX-License-Identifier: Apache-2.0

/// What a receiver over an io_uring has done. All counts grow only.
package struct URingReceiverStatistics: Hashable, Sendable {
  /// Calls that brought a packet.
  package var packets = 0
  /// Buffers that were filled, wholly or in part.
  package var fragments = 0
  /// Their bytes.
  package var byteCount = 0
  /// Requests that were begun: 1, and one more after each of `starved` and each cancellation.
  package var requests = 0
  /// Requests that the kernel ended because it had no buffer left (`ENOBUFS`; of zero-copy receive
  /// `ENOMEM`).
  package var starved = 0
  /// Calls that found neither data nor a buffer for it.
  package var stalls = 0
  /// Calls of the kernel to wait for data.
  package var waits = 0

  /// Nothing yet.
  package init() {}
}
