// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

/// The tokens of one `setsockopt(SO_DEVMEM_DONTNEED)`: up to 128 runs of consecutive tokens, up to
/// 1024 tokens (the kernel stops there). It hands tokens out lowest first, so runs are common.
@safe
struct TokenBatch: ~Copyable {
  /// What became of tokens.
  struct Counts: Hashable, Sendable {
    /// Freed by the kernel.
    var freed = 0
    /// Not known to the kernel, which cannot happen unless somebody else returns tokens of this
    /// socket.
    var unknown = 0
    /// System calls.
    var calls = 0
    /// Of those, the ones that failed; their tokens were kept for the next.
    var failedCalls = 0
  }

  // SAFETY: allocated in init for the limit's number of trivial elements, of which the first
  // `count` are initialised; freed in deinit.
  private let ranges: UnsafeMutablePointer<DMABufTokenRange>
  private var count = 0
  private var tokenCount = 0
  private(set) var counts = Counts()
  /// Why the last call failed; nil when it did not.
  var failure: Errno?

  deinit { unsafe ranges.deallocate() }

  init() { unsafe ranges = .allocate(capacity: OwnedFileDescriptor.devmemTokenRangeLimit) }

  var isFull: Bool {
    count == OwnedFileDescriptor.devmemTokenRangeLimit
      || tokenCount == OwnedFileDescriptor.devmemTokenLimit
  }

  /// Adds a token.
  /// - Precondition: not full.
  mutating func append(_ token: UInt32) {
    precondition(!isFull, "token batch is full")
    tokenCount += 1
    if count > 0, unsafe ranges[count - 1].first + ranges[count - 1].count == token {
      unsafe ranges[count - 1].count += 1
      return
    }
    unsafe (ranges + count).initialize(to: DMABufTokenRange(first: token, count: 1))
    count += 1
  }

  /// Returns the tokens to the kernel; after a failure they stay for the next call.
  ///
  /// A short count is not retried: those tokens that were freed may be somebody's again.
  /// - Returns: tokens that are no longer owed.
  mutating func send(over socket: borrowing OwnedFileDescriptor) -> Int {
    guard tokenCount > 0 else { return 0 }
    counts.calls += 1
    let freed: Int
    do {
      freed = try unsafe socket.devmemDontNeed(
        UnsafeBufferPointer(start: ranges, count: count))
    } catch {
      counts.failedCalls += 1
      failure = error
      return 0
    }
    let sent = tokenCount
    counts.freed += freed
    counts.unknown += sent - freed
    count = 0
    tokenCount = 0
    return sent
  }
}
