// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem
internal import Synchronization

/// What an instance of zero-copy receive knows of one connection: its request, and what came for it
/// while another connection was asked for.
///
/// Thread rules: the instance's thread; ``hasEnded`` is set on any.
final class ZeroCopyConnection {
  /// Bytes that lie in a buffer which the kernel has named.
  struct Arrival {
    /// As in the completion, with the area's number.
    let offset: UInt64
    let byteCount: Int
  }

  /// Of its completions, from 1.
  let number: UInt64
  let socket: OwnedFileDescriptor
  let hasEnded = Atomic<Bool>(false)
  /// Whether a request is under way.
  var isReceiving = false
  var isAtEnd = false
  /// What ended the stream; every later call throws it again.
  var failure: URingError?
  var statistics = URingReceiverStatistics()
  /// The generation of buffers that the kernel had when it found none for this connection; nil
  /// where it did not look for one since.
  private var starvedGeneration: UInt64?
  private var pending: [Arrival] = []
  private var pendingStart = 0

  init(number: UInt64, socket: consuming OwnedFileDescriptor) {
    self.number = number
    self.socket = socket
  }

  /// Whether the last request that ended had no buffer, and the kernel has got none since.
  func isStarved(_ generation: UInt64) -> Bool { starvedGeneration == generation }

  func appendPending(_ arrival: Arrival) { pending.append(arrival) }

  func forEachPending(_ body: (Arrival) -> Void) { pending[pendingStart...].forEach(body) }

  var hasPending: Bool { pendingStart < pending.count }

  func popPending() -> Arrival? {
    guard pendingStart < pending.count else { return nil }
    let arrival = pending[pendingStart]
    pendingStart += 1
    if pendingStart == pending.count {
      pending.removeAll(keepingCapacity: true)
      pendingStart = 0
    }
    return arrival
  }

  /// Why its request has ended.
  /// - Parameter canCopy: whether the kernel copies what a card did not put into the memory.
  func note(end errno: Errno, generation: UInt64, canCopy: Bool) {
    switch errno {
    case Errno(rawValue: 0): isAtEnd = true
    case .ENOMEM where !canCopy: failure = .outsideMemory(errno)
    case .ENOMEM:
      statistics.starved += 1
      starvedGeneration = generation
    case .ENOSPC, .ECANCELED:
      // The queue of completions was full: once more, now that there is room.
      break
    default: failure = .receiving(errno)
    }
  }
}
