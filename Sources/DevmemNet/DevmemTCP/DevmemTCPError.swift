// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// Why device memory TCP failed on a socket: a stable code to act on, the kernel's errno where there
/// was one, what was being done, and the way out.
public struct DevmemTCPError: Error, Hashable, Sendable, CarriesErrno {
  /// What went wrong. The raw value is stable: it may be stored, logged and compared.
  public enum Code: String, CaseIterable, Hashable, Sendable {
    /// The socket is not TCP.
    case notTCP
    /// This kernel has no device memory TCP.
    case kernelUnsupported
    /// The binding is of the other direction.
    case wrongDirection
    /// The flow came into the memory of another binding than the receiver's.
    case foreignBinding
    /// The kernel's bytes lie outside of the buffer that the receiver was given: it is not the one that
    /// is bound by this id.
    case outsideBuffer
    /// The kernel described fewer bytes than it delivered: tokens are unknown.
    case controlTruncated
    /// The kernel did not know tokens that were returned.
    case tokensRefused
    /// A fragment is not of the memory that is bound for sending, or not wholly inside it.
    case foreignMemory
    /// The binding's id is not bound for sending (any more).
    case notBound
    /// The route to the peer leaves by another device than the one that the memory is bound to.
    case wrongDevice
    /// A packet of more fragments than the sender keeps in flight.
    case tooManyFragments
    /// A number of the configuration is out of its range.
    case invalidConfiguration
    /// The peer, or the path to it, has gone.
    case connectionLost
    /// A system call failed in a way that has no code of its own; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  public let code: Code
  /// The kernel's answer; nil where we refused before asking it.
  public let underlying: Errno?
  /// What was being done, "receiving into dma-buf 3".
  public let operation: String
  /// The way out; nil where there is none.
  public let remedy: String?

  package var carriedErrno: Errno? { underlying }

  /// Does nothing where a number is in its range.
  static func check(
    _ name: String, _ value: Int, in range: ClosedRange<Int>
  ) throws(DevmemTCPError) {
    guard !range.contains(value) else { return }
    throw DevmemTCPError(
      .invalidConfiguration, "taking \(value) for \(name)",
      remedy: "Choose it from \(range.lowerBound) to \(range.upperBound).")
  }

  /// Describes a failure.
  public init(
    _ code: Code, _ operation: String, underlying: Errno? = nil, remedy: String? = nil
  ) {
    self.code = code
    self.underlying = underlying
    self.operation = operation
    self.remedy = remedy
  }
}

extension DevmemTCPError: CustomStringConvertible {
  /// One line: operation, code, errno and remedy.
  public var description: String { line(operation, code: code.rawValue, remedy: remedy) }
}
