// SPDX-License-Identifier: Apache-2.0

extension PagePool {
  /// Where in the source a buffer was allocated.
  @frozen
  public struct CallSite: Sendable, CustomStringConvertible {
    @usableFromInline let fileID: StaticString
    @usableFromInline let line: UInt

    /// A place in the source, `#fileID` and `#line`.
    @inlinable
    public init(_ fileID: StaticString, _ line: UInt) {
      self.fileID = fileID
      self.line = line
    }

    /// `Module/File.swift:42`
    public var description: String { "\(fileID):\(line)" }
  }

  /// How much an allocation matters.
  @frozen
  public enum Priority: Sendable {
    /// May fail when the pool is exhausted.
    case normal
    /// May take from the reserve (`Configuration.reserveCount`) when all else is exhausted.
    case critical
  }
}
