// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A detached buffer as 64 bits, for a ring, a completion queue or another process.
///
/// The lower half is the buffer's index, the upper half its generation at the time: a token is good
/// for one ``PagePool/Remote/reclaim(_:)``, by the pool that the buffer came from. Plain data: it
/// can be copied, sent and made up, which is why reclaiming it is checked.
@frozen
public struct NetmemToken: RawRepresentable, Hashable, Sendable {
  /// The 64 bits.
  public let rawValue: UInt64

  /// A token from its 64 bits, e.g. out of a completion entry. Any value is allowed;
  /// ``PagePool/Remote/reclaim(_:)`` tells good from bad.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  init(index: UInt32, generation: UInt32) {
    rawValue = UInt64(generation) &<< 32 | UInt64(index)
  }

  @inlinable
  var index: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
  @inlinable
  var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue &>> 32) }

  /// Indices from here on say: a further reference to a buffer that was already detached, with a
  /// serial number in the other bits. It is looked up in ``SharedTokens``.
  static let firstSharedIndex: UInt32 = 0xFFFF_0000

  var isShared: Bool { index >= Self.firstSharedIndex }

  /// - Parameter serial: below 2^48.
  init(shared serial: UInt64) {
    self.init(
      index: Self.firstSharedIndex | UInt32(truncatingIfNeeded: serial >> 32) & 0xFFFF,
      generation: UInt32(truncatingIfNeeded: serial))
  }

  var sharedSerial: UInt64 { UInt64(index & 0xFFFF) << 32 | UInt64(generation) }
}

/// Why a token was not accepted. The pool is unchanged.
@frozen
public enum NetmemTokenError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The index is of no buffer of this pool: the token is another pool's, or made up.
  case foreign
  /// The token was reclaimed before.
  case alreadyReclaimed
  /// The buffer has been reclaimed and detached again since the token was made, or it was never
  /// detached with this generation.
  case stale

  /// What is wrong with the token.
  public var description: String {
    switch self {
    case .foreign: "the token does not belong to a buffer of this pool"
    case .alreadyReclaimed: "the token has been reclaimed already"
    case .stale: "the token is older than the buffer's present use, or was never handed out"
    }
  }
}

/// Further references to buffers that were detached already, of all pools of the process, by a
/// serial number that is given out once: 2^48 of them, nine years at a million a second. Any
/// thread.
final class SharedTokens: Sendable {
  static let all = SharedTokens()

  private struct Entry {
    var iov: RecordReference
    var pool: PagePool.Identity
  }
  private struct Contents {
    var lastSerial: UInt64 = 0
    var entries: [UInt64: Entry] = [:]
  }
  private let contents = Mutex(Contents())

  func detach(_ iov: RecordReference, of pool: PagePool.Identity) -> NetmemToken {
    contents.withLock { contents in
      contents.lastSerial += 1
      precondition(contents.lastSerial < 1 << 48, "2^48 second references were detached")
      contents.entries[contents.lastSerial] = Entry(iov: iov, pool: pool)
      return NetmemToken(shared: contents.lastSerial)
    }
  }

  func reclaim(
    _ token: NetmemToken, for pool: PagePool.Identity
  ) -> Result<RecordReference, NetmemTokenError> {
    contents.withLock { contents in
      let serial = token.sharedSerial
      guard let entry = contents.entries[serial] else {
        return .failure(serial > 0 && serial <= contents.lastSerial ? .alreadyReclaimed : .stale)
      }
      guard entry.pool == pool else { return .failure(.foreign) }
      contents.entries[serial] = nil
      return .success(entry.iov)
    }
  }
}
