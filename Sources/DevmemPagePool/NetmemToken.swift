// SPDX-License-Identifier: Apache-2.0

/// A detached buffer as 64 bits, for a ring, a completion queue or another process.
///
/// The lower half is the buffer's index, the upper half its generation at the time: a token is
/// good for one ``PagePool/reclaim(_:)``, by the pool that the buffer came from. Plain data: it
/// can be copied, sent and made up, which is why reclaiming it is checked.
@frozen
public struct NetmemToken: RawRepresentable, Hashable, Sendable {
  /// The 64 bits.
  public let rawValue: UInt64

  /// A token from its 64 bits, e.g. out of a completion entry. Any value is allowed;
  /// ``PagePool/reclaim(_:)`` tells good from bad.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  init(index: UInt32, generation: UInt32) {
    rawValue = UInt64(generation) &<< 32 | UInt64(index)
  }

  @usableFromInline
  var index: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
  @usableFromInline
  var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue &>> 32) }

  /// The index that says: a further reference to a buffer that was already detached, to be looked
  /// up by serial number in its pool's side table.
  static let sharedIndex = UInt32.max
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
