// SPDX-License-Identifier: Apache-2.0

/// What is done with each buffer between allocate and return.
enum Work: String, CaseIterable {
  /// Nothing.
  case recycle
  /// Node, offset and device address are read.
  case look
  /// As look, and a second holder comes and goes.
  case share
  /// Nothing, but buffers come from and go to the provider, past cache and ring.
  case provider
}

/// Pools of a layout over host memory, device memory and other host memory, and what is to be done.
@unsafe
struct Rig<Layout: RecordLayout> {
  let pools: UnsafeMutablePointer<PoolReference>
  let me: UInt = 0x7000

  init(hasCache: Bool) {
    unsafe pools = .allocate(capacity: Run.all.count)
    for (position, run) in Run.all.enumerated() {
      let pool = unsafe Pool.make(
        capacity: hasCache ? 128 : 0, isDevice: run.isDevice, owner: me)
      for handle in unsafe Layout.makeHandles(of: run, count: 64, for: pool) {
        if hasCache {
          unsafe pool.pointee.top.initialize(to: handle)
          unsafe pool.pointee.top += 1
        } else {
          unsafe pool.pointee.free.initialize(to: handle)
          unsafe pool.pointee.free += 1
        }
      }
      unsafe (pools + position).initialize(to: pool)
    }
  }

  /// The pool comes from a table, so that choosing it is no branch.
  @inline(__always)
  func allocate(_ order: UnsafePointer<UInt8>, _ turn: Int) -> Handle {
    unsafe Operations<Layout>.allocate(
      pools[Int(order[turn & (Mix.length - 1)])], me)
  }

  @inline(__always)
  func recycle(_ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    for turn in 0..<count {
      let handle = unsafe allocate(order, turn)
      unsafe Operations<Layout>.put(handle, me)
    }
    return 0
  }

  /// As recycle, but another value comes out: equal functions would be merged into one, and counted
  /// as one.
  @inline(__always)
  func provider(_ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    unsafe recycle(order, count) &+ UInt64(truncatingIfNeeded: count)
  }

  @inline(__always)
  func look(_ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    var sum: UInt64 = 0
    for turn in 0..<count {
      let handle = unsafe allocate(order, turn)
      sum = unsafe sum &+ Self.read(handle)
      unsafe Operations<Layout>.put(handle, me)
    }
    return sum
  }

  @inline(__always)
  func share(_ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    var sum: UInt64 = 0
    for turn in 0..<count {
      let handle = unsafe allocate(order, turn)
      sum = unsafe sum &+ Self.read(handle)
      Layout.addHolder(handle)
      unsafe Operations<Layout>.put(handle, me)
      unsafe Operations<Layout>.put(handle, me)
    }
    return sum
  }

  @inline(__always)
  private static func read(_ handle: Handle) -> UInt64 {
    UInt64(truncatingIfNeeded: Layout.node(of: handle))
      ^ Layout.offset(of: handle) ^ Layout.address(of: handle)
  }
}
