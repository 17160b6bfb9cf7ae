// SPDX-License-Identifier: Apache-2.0

typealias PoolReference = UnsafeMutablePointer<Pool>

/// The pool that every layout is measured in: a stack of buffers for the owner, a ring for the
/// others, and the provider's free buffers behind both.
@unsafe
struct Pool {
  typealias Slot = UnsafeMutablePointer<Handle>
  typealias Release = @convention(c) (UnsafeMutableRawPointer, Handle) -> Void

  var top: Slot
  let base: Slot
  let limit: Slot
  var owner: UInt
  var fast: UInt64 = 0

  let ring: Slot
  let ringCapacity: Int
  var ringHead = 0
  var ringTail = 0

  var free: Slot
  var releasedPages = 0
  var releasedIOVs = 0
  /// How the provider takes buffers back, for layouts that leave it to the provider.
  let release: Release

  /// A pool without buffers. Lives as long as the process.
  static func make(capacity: Int, isDevice: Bool, owner: UInt) -> PoolReference {
    let cache = unsafe Placement.allocate(Handle.self, count: capacity)
    let ring = unsafe Placement.allocate(Handle.self, count: capacity)
    let free = unsafe Placement.allocate(Handle.self, count: capacity + 64)
    let pool = unsafe Placement.allocate(Pool.self, count: 1)
    let release: Release =
      isDevice
      ? { unsafe releaseIOV($1, $0.assumingMemoryBound(to: Pool.self)) }
      : { unsafe releasePage($1, $0.assumingMemoryBound(to: Pool.self)) }
    unsafe pool.initialize(
      to: Pool(
        top: cache, base: cache, limit: cache + capacity, owner: owner, ring: ring,
        ringCapacity: capacity, free: free, release: release))
    return unsafe pool
  }
}

/// A page goes back to the host's provider.
@inline(never)
func releasePage(_ handle: Handle, _ pool: PoolReference) {
  unsafe pool.pointee.free.pointee = handle
  unsafe pool.pointee.free += 1
  unsafe pool.pointee.releasedPages &+= 1
}

/// An IOV goes back to the device's provider.
@inline(never)
func releaseIOV(_ handle: Handle, _ pool: PoolReference) {
  unsafe pool.pointee.releasedIOVs &+= 1
  unsafe pool.pointee.free.pointee = handle
  unsafe pool.pointee.free += 1
}

/// The pool's operations over one layout.
enum Operations<Layout: RecordLayout> {
  @inline(__always)
  static func allocate(_ pool: PoolReference, _ me: UInt) -> Handle {
    guard unsafe pool.pointee.owner == me else { return 0 }
    let top = unsafe pool.pointee.top
    guard unsafe top != pool.pointee.base else { return unsafe allocateSlow(pool) }
    unsafe pool.pointee.top = unsafe top - 1
    unsafe pool.pointee.fast &+= 1
    return unsafe (top - 1).pointee
  }

  /// From the ring, else from the provider.
  @inline(never)
  static func allocateSlow(_ pool: PoolReference) -> Handle {
    if unsafe pool.pointee.ringTail != pool.pointee.ringHead {
      let slot = unsafe pool.pointee.ringTail % pool.pointee.ringCapacity
      unsafe pool.pointee.ringTail &+= 1
      return unsafe pool.pointee.ring[slot]
    }
    unsafe pool.pointee.free -= 1
    return unsafe pool.pointee.free.pointee
  }

  @inline(__always)
  static func put(_ handle: Handle, _ me: UInt) {
    guard Layout.hasOneHolder(handle) || Layout.dropHolder(handle) else { return }
    let pool = unsafe Layout.pool(of: handle)
    let top = unsafe pool.pointee.top
    if unsafe pool.pointee.owner == me, unsafe top < pool.pointee.limit,
      !Layout.isReserved(handle)
    {
      unsafe top.pointee = handle
      unsafe pool.pointee.top = unsafe top + 1
    } else {
      unsafe putSlow(handle, pool)
    }
  }

  /// Onto the ring, else to the provider.
  @inline(never)
  static func putSlow(_ handle: Handle, _ pool: PoolReference) {
    let head = unsafe pool.pointee.ringHead
    if unsafe head &- pool.pointee.ringTail < pool.pointee.ringCapacity,
      !Layout.isReserved(handle)
    {
      unsafe pool.pointee.ring[head % pool.pointee.ringCapacity] = handle
      unsafe pool.pointee.ringHead = head &+ 1
    } else {
      unsafe Layout.release(handle, pool)
    }
  }
}
