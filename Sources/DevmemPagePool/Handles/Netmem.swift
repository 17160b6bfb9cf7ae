// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// One buffer out of a page pool, in host memory or in device memory (`netmem_ref`).
///
/// One word that cannot be copied. When it goes out of scope, the buffer goes back to its pool: on
/// the pool's owner thread into the allocation cache, on any other onto the return queue. A leak, a
/// double free and a use after free do not compile.
///
/// A Netmem may be moved to and die on any thread. Its pool cannot go away before it.
@frozen
@safe
public struct Netmem: ~Copyable, @unchecked Sendable {
  // SAFETY: the record is one of a slab that the pool keeps alive while the buffer is out, and this
  // handle holds one of the references that its referenceCount counts.
  @usableFromInline let record: UnsafeMutablePointer<NetIOV>

  @inlinable
  init(record: UnsafeMutablePointer<NetIOV>) {
    unsafe self.record = unsafe record
  }

  /// Returns the buffer to its pool. On the owner's thread, with room in the cache, the allocation,
  /// this and a loop around them take 28 instructions (`fast_path`).
  @inlinable
  @inline(__always)
  deinit {
    // One holder means that nobody else can take or drop a reference: no atomic update is needed.
    if unsafe _fastPath(record.pointee.referenceCount.load(ordering: .acquiring) == 1) {
      unsafe PagePool.State.put(record)
    } else {
      unsafe putShared(record)
    }
  }

  /// Ends the handle without giving up its reference; whoever gets the record has it now.
  @inlinable
  consuming func forget() -> UnsafeMutablePointer<NetIOV> {
    let record = unsafe self.record
    discard self
    return unsafe record
  }

  /// What kind of memory a buffer lies in.
  @frozen
  public enum Kind: UInt8, Hashable, Sendable {
    /// Ordinary pages of this process.
    case host
    /// Device memory: a dma-buf.
    case device
  }
}

extension Netmem {
  @inlinable
  var area: UnsafePointer<NetIOVArea> { unsafe record.pointee.area }

  @inlinable
  var byteOffsetInArea: Int {
    let area = unsafe record.pointee.area
    return unsafe (record - area.pointee.records) &<< Int(area.pointee.iovShift)
  }

  /// Size of the buffer in bytes, a power of two.
  @inlinable
  public var byteCount: Int { unsafe area.pointee.iovByteCount }

  /// Whether this is host or device memory.
  @inlinable
  public var kind: Kind { unsafe area.pointee.kind }

  /// The NUMA node of the memory, or nil where it is not known.
  @inlinable
  public var node: Int? { unsafe area.pointee.node }

  /// Offset of the buffer from the start of its dma-buf or mapping, in bytes
  /// (`net_iov_virtual_addr`).
  @inlinable
  public var offset: UInt64 {
    unsafe area.pointee.baseVirtual &+ UInt64(truncatingIfNeeded: byteOffsetInArea)
  }

  /// Where a device finds the buffer (`net_iov_dma_addr`).
  @inlinable
  public var deviceAddress: DeviceAddress {
    unsafe area.pointee.baseAddress.advanced(by: byteOffsetInArea)
  }

  /// Names the buffer to its provider, without holding it.
  package var iov: NetIOVReference { unsafe NetIOVReference(index: record.pointee.index) }

  var reference: RecordReference { unsafe RecordReference(record: record) }

  /// Number of handles and tokens to this buffer, this one included. A snapshot when other threads
  /// hold some of them.
  @inlinable
  public var referenceCount: Int {
    unsafe Int(record.pointee.referenceCount.load(ordering: .relaxed))
  }

  /// A second handle to the same buffer (`page_pool_ref_netmem`). The buffer goes back to its pool
  /// when the last of them has died. Any thread may call it on a handle that it holds.
  ///
  /// While there is more than one handle nobody may write the bytes: ``withMutableBytes(_:)``
  /// throws.
  /// - Precondition: fewer than 2^31 handles to one buffer.
  @inlinable
  public func share() -> Netmem {
    // Wrapping: one instruction, and the next line finds what a check for overflow would.
    let count = unsafe record.pointee.referenceCount.wrappingAdd(1, ordering: .relaxed).newValue
    precondition(count < 1 << 31, "more than 2^31 handles to one buffer")
    return unsafe Netmem(record: record)
  }
}
