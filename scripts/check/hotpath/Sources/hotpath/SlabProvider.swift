// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// Gives out the IOVs of one slab of ordinary memory in order, and takes none back: all that a loop
/// that stays within the cache of its pool needs.
final class SlabProvider: MemoryProvider, @unchecked Sendable {
  @safe private final class Block: @unchecked Sendable {
    // SAFETY: allocated in init, freed in deinit, never changed.
    let bytes: UnsafeMutableRawPointer
    init(byteCount: Int) { unsafe bytes = .allocate(byteCount: byteCount, alignment: 4096) }
    deinit { unsafe bytes.deallocate() }
  }

  private let slab: NetIOVSlab
  private var next = 0
  let name = "hotpath"

  init(iovCount: Int) throws {
    let block = Block(byteCount: iovCount * 4096)
    let run = unsafe NetIOVArea.Layout(
      baseVirtual: 0, baseAddress: DeviceAddress(0, kind: .bufferOffset), iovCount: iovCount,
      kind: .host,
      cpuBase: block.bytes)
    slab = try NetIOVSlab(iovByteCount: 4096, layout: [run], backing: block)
  }

  func attach(to pool: PagePool.Identity) -> [NetIOVSlab] { [slab] }
  func refill(_ span: inout OutputSpan<NetIOVReference>) {
    while !span.isFull, next < slab.iovCount {
      span.append(slab[next])
      next += 1
    }
  }
  func release(_ iovs: Span<NetIOVReference>) {}
  func detach(from pool: PagePool.Identity) {}
}
