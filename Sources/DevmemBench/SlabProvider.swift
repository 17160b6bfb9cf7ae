// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import Synchronization

/// IOVs over addresses that nobody touches, given out in order and taken back onto a list: the
/// least that a provider can cost, so that what is measured is the pool.
final class SlabProvider: MemoryProvider {
  private final class Nothing: Sendable {}

  private let slab: NetIOVSlab
  private let free: Mutex<[NetIOVReference]>
  let name: String

  init(iovCount: Int, kind: Netmem.Kind = .host) throws {
    let run = unsafe NetIOVArea.Layout(
      baseVirtual: 0, baseAddress: DeviceAddress(0, kind: .bufferOffset), iovCount: iovCount,
      kind: kind, cpuBase: nil)
    slab = try NetIOVSlab(iovByteCount: 4096, layout: [run], backing: Nothing())
    free = Mutex((0..<iovCount).reversed().map { [slab] in slab[$0] })
    name = "bench"
  }

  func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [slab] }

  func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    let taken = free.withLock { free in
      let taken = Array(free.suffix(span.freeCapacity))
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

extension PagePool {
  /// A pool of the calling thread over IOVs that nobody touches.
  static func forBench(
    iovCount: Int = 256, kind: Netmem.Kind = .host, ringCapacity: Int = 1024
  ) throws -> PagePool {
    try PagePool(
      provider: SlabProvider(iovCount: iovCount, kind: kind),
      configuration: Configuration(ringCapacity: ringCapacity, name: "bench"))
  }
}
