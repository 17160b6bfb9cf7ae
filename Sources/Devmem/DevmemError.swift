// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// Why something above the system calls failed: a stable code to act on, the kernel's errno where
/// there was one, what was being done, and the way out.
public struct DevmemError: Error, Hashable, Sendable, CarriesErrno {
  /// What went wrong. The raw value is stable: it may be stored, logged and compared.
  public enum Code: String, CaseIterable, Hashable, Sendable {
    /// There is no such exporter on this machine (no device node).
    case exporterMissing
    /// The exporter is there, but it does not take what it was given.
    case exporterRefused
    /// This user may not do it.
    case permissionDenied
    /// More bytes than one dma-buf of this exporter may have.
    case sizeLimit
    /// More ranges than one dma-buf of this exporter may have.
    case listLimit
    /// Too few huge pages in the pool, or none of that size on this machine.
    case noHugePages
    /// No memory.
    case outOfMemory
    /// Too many open files.
    case descriptorLimit
    /// A memory file's seals are not what the exporter wants, or could not be set.
    case sealRefused
    /// The same memory is bound already.
    case alreadyBound
    /// The ranges of one buffer overlap: two offsets would show the same bytes.
    case overlappingRanges
    /// A byte count that is 0, negative or not a multiple of the page size.
    case invalidByteCount
    /// An offset that is negative, not a multiple of the page size, or past the end.
    case invalidOffset
    /// A name that is too long or holds a character that it may not.
    case invalidName
    /// An IOV size that is not a power of two from 4 KiB to 2 MiB.
    case invalidIOVByteCount
    /// No contiguous run of the buffer is long enough for one IOV, or there are too many IOVs.
    case cannotCarve
    /// There is no such NUMA node, or this process may not use it.
    case noSuchNode
    /// There is no such processor, or this process may not use it.
    case noSuchProcessor
    /// Too many threads.
    case threadLimit
    /// The descriptor is not a dma-buf.
    case notADMABuf
    /// The CPU cannot read or write this memory.
    case unreadable
    /// The other end of a socket has gone.
    case peerClosed
    /// A system call failed in a way that has no code of its own; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  public let code: Code
  /// The kernel's answer; nil where we refused before asking it.
  public let underlying: Errno?
  /// What was being done, "opening /dev/udmabuf".
  public let operation: String
  /// The way out, as a command where there is one; nil where there is none.
  public let remedy: String?

  /// Describes a failure.
  public init(
    _ code: Code, _ operation: String, underlying: Errno? = nil, remedy: String? = nil
  ) {
    self.code = code
    self.underlying = underlying
    self.operation = operation
    self.remedy = remedy
  }

  package var carriedErrno: Errno? { underlying }
}

extension DevmemError: CustomStringConvertible {
  /// One line: operation, code, errno and remedy.
  public var description: String { line(operation, code: code.rawValue, remedy: remedy) }
}
