// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The record behind one buffer, host or device (`struct net_iov`): 32 bytes.
///
/// The kernel's is 64 bytes, since it has to lie over a `struct page`. Here everything that a run
/// of buffers shares has moved to ``NetIOVArea``, and buffers are linked by 32-bit index instead
/// of by pointer. Two records fit into a cache line.
///
/// Who writes what: `area` and `index` never change; `pool` is written by the pool's owner thread
/// when a buffer comes from or goes back to the provider; `next` by whoever just put the buffer on
/// a list; `referenceCount` and `generation` by any holder.
@frozen
@safe
public struct NetIOV: ~Copyable {
  // SAFETY: both pointers are only followed while the slab and the pool are alive: see Netmem.
  @usableFromInline let area: UnsafePointer<NetIOVArea>
  /// The pool the buffer is out of its provider for, nil while the provider has it (`pp`).
  @usableFromInline let pool: Atomic<UnsafeMutablePointer<PagePool.State>?>
  /// Handles to the buffer; 1 also while it lies in a pool (`pp_ref_count`).
  @usableFromInline let referenceCount = Atomic<UInt32>(1)
  /// Odd while the buffer is detached. One more at each detach and each reclaim.
  @usableFromInline let generation: Atomic<UInt32>
  /// Index of the next buffer on the list that this one is on; 0 ends the list.
  @usableFromInline var next: UInt32 = 0
  /// This buffer's index, unique among all living slabs of the process, never 0.
  @usableFromInline let index: UInt32

  init(area: UnsafePointer<NetIOVArea>, index: UInt32, generation: UInt32) {
    unsafe self.area = unsafe area
    unsafe self.pool = unsafe Atomic(nil)
    self.generation = Atomic(generation)
    self.index = index
  }
}

/// Names a buffer to its provider, without holding it.
///
/// What ``MemoryProvider/refill(_:)`` gives and ``MemoryProvider/release(_:)`` takes. It has no
/// way to the bytes: only the pool turns it into a ``Netmem``. Valid while its slab lives; a slab
/// is kept alive by the pools that its provider is attached to.
@frozen
@safe
public struct NetIOVReference: @unchecked Sendable, Equatable {
  // SAFETY: points into the record storage of a NetIOVSlab that outlives the reference.
  @usableFromInline let record: UnsafeMutablePointer<NetIOV>

  @inlinable
  init(record: UnsafeMutablePointer<NetIOV>) {
    unsafe self.record = unsafe record
  }

  /// Whether both name the same buffer.
  @inlinable
  public static func == (a: NetIOVReference, b: NetIOVReference) -> Bool {
    unsafe a.record == b.record
  }

  /// The run that the buffer belongs to.
  @inlinable
  public var area: NetIOVArea { unsafe record.pointee.area.pointee }

  /// Position of the buffer in its run, from 0 (`net_iov_idx`).
  @inlinable
  public var indexInArea: Int {
    unsafe record - record.pointee.area.pointee.records
  }

  /// Offset of the buffer from the start of its dma-buf or mapping, in bytes
  /// (`net_iov_virtual_addr`).
  @inlinable
  public var offset: UInt64 {
    let area = unsafe record.pointee.area
    return unsafe area.pointee.baseVirtual
      &+ UInt64(truncatingIfNeeded: indexInArea) &<< UInt64(area.pointee.iovShift)
  }
}
