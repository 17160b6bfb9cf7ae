// SPDX-License-Identifier: Apache-2.0

/// What an instance of zero-copy receive has done, for all of its connections. All counts but
/// `capacity` and `count` grow only.
package struct ZeroCopyStatistics: Hashable, Sendable {
  /// Buffers that there are, and how many of these the kernel has.
  package var capacity = 0
  package var count = 0
  /// Completions whose bytes the kernel copied, because a card had not put them into the memory
  /// (`copy_count` of `struct zcrx_stats`); without a card, all of them.
  package var copyCount: UInt64 = 0
  /// Their bytes (`copy_bytes`).
  package var copyByteCount: UInt64 = 0
  /// Events that the kernel sent: it copied (`ZCRX_EVENT_COPY`); a card found no buffer
  /// (`ZCRX_EVENT_ALLOC_FAIL`). Each is sent once, and again after there was enough memory.
  package var copyEvents = 0
  package var allocationFailureEvents = 0
  /// Memory that was added, and attempts to that failed.
  package var growths = 0
  package var failedGrowths = 0
  /// Calls of the kernel to take buffers out of the refill ring (`ZCRX_CTRL_FLUSH_RQ`).
  package var flushes = 0

  /// Nothing yet.
  package init() {}
}
