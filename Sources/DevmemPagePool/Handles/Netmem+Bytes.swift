// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Why the bytes of a buffer cannot be touched.
@frozen
public enum NetmemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The CPU cannot reach the bytes; the reason says why not.
  case unreadable(Reason)

  /// Why a buffer is unreadable.
  @frozen
  public enum Reason: Hashable, Sendable {
    /// The device memory has no mapping in this process, e.g. a GPU's.
    case noCPUMapping
    /// The access is not inside a CPU access bracket of the buffer that allows it.
    case outsideCPUAccess
    /// There is another handle or token to the same bytes, whose holder may be reading them.
    case shared
  }

  /// What is wrong and what to do.
  public var description: String {
    switch self {
    case .unreadable(.noCPUMapping):
      "the buffer is device memory that the CPU cannot read: hand its deviceAddress to a device"
    case .unreadable(.outsideCPUAccess):
      "device memory may be touched only inside withCPUAccess of its DMABuf, with .read to read "
        + "and .write to write: open one bracket around the whole batch"
    case .unreadable(.shared):
      "the buffer has another handle or token, whose holder may be reading it: write before "
        + "share(), or when that one has ended"
    }
  }
}

extension Netmem {
  /// Whether the CPU may read the bytes right now: always for host memory; for device memory when
  /// it has a CPU mapping and a bracket that allows reading is open.
  @inlinable
  public var isReadable: Bool {
    let area = unsafe record.pointee.area
    guard unsafe area.pointee.cpuBase != nil else { return false }
    guard let access = unsafe area.pointee.access else { return true }
    return unsafe access.pointee.readerCount.load(ordering: .relaxed) > 0
  }

  /// The address of the first byte for this CPU, or nil where there is none. For system calls that
  /// take an iovec; ``withBytes(_:)`` is the way to look at the bytes.
  ///
  /// Unsafe: it is valid only while this handle lives, and for device memory nothing checks that
  /// an access bracket is open.
  @inlinable
  @unsafe
  public var cpuAddress: UnsafeMutableRawPointer? {
    let area = unsafe record.pointee.area
    guard let base = unsafe area.pointee.cpuBase else { return nil }
    return unsafe base + byteOffsetInArea
  }

  /// Reads the bytes.
  /// - Throws: ``NetmemError/unreadable(_:)`` when the CPU cannot read the memory or no bracket
  ///   for reading is open; otherwise what `body` throws.
  @inlinable
  public func withBytes<Result: ~Copyable>(
    _ body: (RawSpan) throws -> Result
  ) throws -> Result {
    let base = try unsafe accessibleAddress(writing: false)
    return try body(unsafe RawSpan(_unsafeStart: base, byteCount: byteCount))
  }

  /// Reads and writes the bytes. Nobody else can look at them meanwhile: the call has the handle to
  /// itself, and the buffer has no other.
  /// - Throws: ``NetmemError/unreadable(_:)`` when the CPU cannot reach the memory, no bracket for
  ///   writing is open, or there is another handle to the buffer; otherwise what `body` throws.
  @inlinable
  public mutating func withMutableBytes<Result: ~Copyable>(
    _ body: (inout MutableRawSpan) throws -> Result
  ) throws -> Result {
    guard unsafe record.pointee.referenceCount.load(ordering: .acquiring) == 1 else {
      throw NetmemError.unreadable(.shared)
    }
    let base = try unsafe accessibleAddress(writing: true)
    var span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: byteCount)
    return try body(&span)
  }

  @usableFromInline
  func accessibleAddress(writing: Bool) throws(NetmemError) -> UnsafeMutableRawPointer {
    guard let address = unsafe cpuAddress else { throw .unreadable(.noCPUMapping) }
    if let access = unsafe record.pointee.area.pointee.access {
      let open =
        unsafe writing
        ? access.pointee.writerCount.load(ordering: .relaxed)
        : access.pointee.readerCount.load(ordering: .relaxed)
      guard open > 0 else { throw .unreadable(.outsideCPUAccess) }
    }
    return unsafe address
  }
}
