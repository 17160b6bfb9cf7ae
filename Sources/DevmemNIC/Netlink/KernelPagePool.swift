// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool
internal import DevmemSystem

/// One of the kernel's own page pools (`page-pool-get`): what `PagePoolRegistry` is for ours.
package struct KernelPagePool: Hashable, Sendable {
  /// The pool's number, >= 1.
  package let id: UInt64
  /// The device that it belongs to; nil once that is gone and buffers are still out.
  package let interfaceIndex: UInt32?
  /// The NAPI instance that allocates from it; nil without one.
  package let napiID: UInt64?
  /// Buffers out of their source: held by packets, cached and queued alike.
  package let inFlight: UInt64
  /// The same in bytes.
  package let inFlightByteCount: UInt64
  /// When the driver let the pool go, in seconds since boot (`CLOCK_BOOTTIME`); nil while it uses
  /// it. It waits for its last buffers since.
  package let detachTime: UInt64?
  /// The dma-buf whose memory it hands out; nil for ordinary pages.
  package let dmabufID: UInt32?
  /// Whether it hands out memory of io_uring's zero-copy receive.
  package let isOnIOUring: Bool

  /// nil if it names no pool.
  init?(_ attributes: NetlinkAttributes) {
    guard let id = attributes[NetdevPagePoolAttribute.id]?.unsigned else { return nil }
    self.id = id
    interfaceIndex = attributes[NetdevPagePoolAttribute.interfaceIndex]?.uint32
    napiID = attributes[NetdevPagePoolAttribute.napiID]?.unsigned
    inFlight = attributes[NetdevPagePoolAttribute.inFlight]?.unsigned ?? 0
    inFlightByteCount = attributes[NetdevPagePoolAttribute.inFlightMemory]?.unsigned ?? 0
    detachTime = attributes[NetdevPagePoolAttribute.detachTime]?.unsigned
    dmabufID = attributes[NetdevPagePoolAttribute.dmabuf]?.uint32
    isOnIOUring = attributes[NetdevPagePoolAttribute.ioUring] != nil
  }

  /// What one of the kernel's pools has done so far (`page-pool-stats-get`), in the eleven counters
  /// that our pools have as well. The other fields of the statistics are 0.
  package struct Statistics: Hashable, Sendable {
    /// The pool's number.
    package let poolID: UInt64
    /// The device that it belongs to; nil once that is gone.
    package let interfaceIndex: UInt32?
    /// The counters.
    package let counters: PagePool.Statistics

    /// nil if it names no pool.
    init?(_ attributes: NetlinkAttributes) {
      typealias Name = NetdevPagePoolStatisticsAttribute
      guard let info = attributes[Name.info]?.attributes,
        let id = info[NetdevPagePoolAttribute.id]?.unsigned
      else { return nil }
      poolID = id
      interfaceIndex = info[NetdevPagePoolAttribute.interfaceIndex]?.uint32
      func count(_ name: Name) -> UInt64 { attributes[name]?.unsigned ?? 0 }
      var counters = PagePool.Statistics()
      counters.alloc.fast = count(.allocFast)
      counters.alloc.slow = count(.allocSlow)
      counters.alloc.slowHighOrder = count(.allocSlowHighOrder)
      counters.alloc.empty = count(.allocEmpty)
      counters.alloc.refill = count(.allocRefill)
      counters.alloc.waive = count(.allocWaive)
      counters.recycle.cached = count(.recycleCached)
      counters.recycle.cacheFull = count(.recycleCacheFull)
      counters.recycle.ring = count(.recycleRing)
      counters.recycle.ringFull = count(.recycleRingFull)
      counters.recycle.releasedRefcnt = count(.recycleReleasedRefcnt)
      self.counters = counters
    }
  }
}
