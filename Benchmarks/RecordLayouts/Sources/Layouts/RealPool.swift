// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import Synchronization

/// The library's own pool under the same work, for reference: with statistics, tokens, watermarks
/// and everything else that the sketches lack.
@unsafe
struct RealRig {
  let pools: UnsafeMutablePointer<Unmanaged<PagePool>>

  init() throws {
    unsafe pools = .allocate(capacity: Run.all.count)
    for (position, run) in Run.all.enumerated() {
      let pool = try PagePool(provider: RunProvider(run))
      unsafe (pools + position).initialize(to: .passRetained(pool))
    }
  }
}

@inline(never)
func loop_P_recycle(_ rig: RealRig, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  for turn in 0..<count {
    unsafe rig.pools[Int(order[turn & (Mix.length - 1)])]._withUnsafeGuaranteedRef { pool in
      _ = pool.allocate()
    }
  }
  return 0
}

@inline(never)
func loop_P_look(_ rig: RealRig, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  var sum: UInt64 = 0
  for turn in 0..<count {
    unsafe rig.pools[Int(order[turn & (Mix.length - 1)])]._withUnsafeGuaranteedRef { pool in
      guard let netmem = pool.allocate() else { return }
      sum = sum &+ read(netmem)
    }
  }
  return sum
}

@inline(never)
func loop_P_share(_ rig: RealRig, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  var sum: UInt64 = 0
  for turn in 0..<count {
    unsafe rig.pools[Int(order[turn & (Mix.length - 1)])]._withUnsafeGuaranteedRef { pool in
      guard let netmem = pool.allocate() else { return }
      sum = sum &+ read(netmem)
      _ = netmem.share()
    }
  }
  return sum
}

@inline(__always)
private func read(_ netmem: borrowing Netmem) -> UInt64 {
  UInt64(truncatingIfNeeded: netmem.node ?? -1) ^ netmem.offset ^ netmem.deviceAddress.rawValue
}

/// 64 buffers over addresses that nobody touches.
private final class RunProvider: MemoryProvider {
  private final class Nothing: Sendable {}

  private let slab: NetIOVSlab
  private let free: Mutex<[NetIOVReference]>
  let name = "layouts"

  init(_ run: Run) throws {
    let layout = unsafe NetIOVArea.Layout(
      baseVirtual: run.baseOffset,
      baseAddress: DeviceAddress(run.baseAddress, kind: .bufferOffset), iovCount: 64,
      kind: run.isDevice ? .device : .host, node: run.node, cpuBase: nil)
    slab = try NetIOVSlab(
      iovByteCount: 1 << Int(Run.iovShift), layout: [layout], backing: Nothing())
    free = Mutex((0..<64).reversed().map { [slab] in slab[$0] })
  }

  func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [slab] }

  func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    let taken = free.withLock { free in
      let taken = Array(free.suffix(span.freeCapacity).reversed())
      free.removeLast(taken.count)
      return taken
    }
    for iov in taken { span.append(iov) }
  }

  func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    free.withLock { free in
      for position in iovs.indices { free.append(iovs[position]) }
    }
  }

  func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
}
