// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The record behind one buffer, host or device (`struct net_iov`): 32 bytes.
///
/// The kernel's is 64 bytes, since it has to lie over a `struct page`. Here everything that a run
/// of buffers shares has moved to ``NetIOVArea``, and buffers are linked by 32-bit index instead
/// of by pointer. Two records fit into a cache line.
///
/// Who writes what: `area` and `index` never change; `pool` is written by whoever takes a buffer
/// from the provider or gives it back, and by who allocates it from a shared pool; `next` by
/// whoever just put the buffer on a list; `referenceCount` and `generation` by any holder.
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

/// Where a buffer's record lies. Inside the pool only: nothing checks that the slab still lives.
@frozen
@usableFromInline
@safe
struct RecordReference: @unchecked Sendable {
  // SAFETY: points into the record storage of a NetIOVSlab that the pool keeps alive.
  @usableFromInline let record: UnsafeMutablePointer<NetIOV>

  @inlinable
  init(record: UnsafeMutablePointer<NetIOV>) {
    unsafe self.record = unsafe record
  }

  /// The run that the buffer belongs to.
  var area: NetIOVArea { unsafe record.pointee.area.pointee }

  /// Position of the buffer in its run, from 0 (`net_iov_idx`).
  var indexInArea: Int { unsafe record - record.pointee.area.pointee.records }

  /// Offset of the buffer from the start of its dma-buf or mapping, in bytes
  /// (`net_iov_virtual_addr`).
  var offset: UInt64 {
    let area = unsafe record.pointee.area
    return unsafe area.pointee.baseVirtual
      &+ UInt64(truncatingIfNeeded: indexInArea) &<< UInt64(area.pointee.iovShift)
  }
}

/// Names a buffer to its provider, without holding it.
///
/// What ``MemoryProvider/refill(_:_:)`` gives and ``MemoryProvider/release(_:_:)`` takes: a number
/// that is unique among all living slabs of the process. It may be kept and compared at will; what
/// it says about a buffer only the slab tells (``NetIOVSlab``), which checks it.
@frozen
public struct NetIOVReference: Hashable, Sendable {
  @usableFromInline let index: UInt32

  @inlinable
  init(index: UInt32) { self.index = index }
}
