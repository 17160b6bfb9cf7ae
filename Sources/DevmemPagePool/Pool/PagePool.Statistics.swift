// SPDX-License-Identifier: Apache-2.0

extension PagePool {
  /// Where a pool's buffers are, all counted in buffers.
  public struct InFlight: Hashable, Sendable {
    /// With the user: handles and tokens. What is left here at the end is a leak.
    public var held: Int
    /// Handles among them that were put after a device's fence, which has not signalled.
    package var fenced = 0
    /// In the allocation cache.
    public var cached: Int
    /// Returned and waiting outside the cache.
    public var queued: Int
    /// Set aside for critical allocations.
    public var reserved: Int = 0
    /// Out of the provider altogether: what the kernel calls inflight.
    public var total: Int { held + cached + queued + reserved }
  }

  /// The kernel's eleven counters under the names of `page-pool-stats-get`, and a few more.
  ///
  /// A name has three spellings: `alloc-slow-high-order` is netlink's, and that of `devmemctl
  /// netdev pools`; `slow_high_order` is that of the kernel's structs and of `devmemctl demo`;
  /// `slowHighOrder` is this property.
  ///
  /// Each allocation counts once: `fast + refill + slow + slowHighOrder` is their number. Each
  /// return counts once: `cached + ring + releasedRefcnt`. `empty`, `cacheFull`, `ringFull` and
  /// `waive` count events on the way.
  public struct Statistics: Hashable, Sendable {
    /// `page_pool_alloc_stats`
    public struct Alloc: Hashable, Sendable {
      /// Allocations served by the cache.
      public var fast: UInt64 = 0
      /// Allocations that went to the provider, once per refill, IOVs up to 4 KiB.
      public var slow: UInt64 = 0
      /// The same for larger IOVs.
      public var slowHighOrder: UInt64 = 0
      /// Times the return queue was empty when the cache was.
      public var empty: UInt64 = 0
      /// Allocations that refilled the cache from the return queue.
      public var refill: UInt64 = 0
      /// Buffers given back for lying on the wrong NUMA node.
      public var waive: UInt64 = 0
    }
    /// `page_pool_recycle_stats`
    public struct Recycle: Hashable, Sendable {
      /// Returns into the cache.
      public var cached: UInt64 = 0
      /// Returns on the owner thread that found the cache full.
      public var cacheFull: UInt64 = 0
      /// Returns onto the queue.
      public var ring: UInt64 = 0
      /// Buffers given back to the provider because cache and queue were full.
      public var ringFull: UInt64 = 0
      /// Returns that were not recycled: buffers of the reserve, and returns after close.
      public var releasedRefcnt: UInt64 = 0
    }
    /// How allocations were served.
    public var alloc = Alloc()
    /// How returns ended.
    public var recycle = Recycle()
    /// Allocations that got nothing because the provider was exhausted.
    public var exhausted: UInt64 = 0
    /// Critical allocations that got nothing because the reserve was exhausted as well.
    public var reserveExhausted: UInt64 = 0
    /// Fragments that were not given because they are larger than an IOV, or empty.
    public var tooLarge: UInt64 = 0
    /// Critical allocations that the reserve served.
    public var reserveUsed: UInt64 = 0
    /// Allocations that got nothing because the pool was closed.
    public var closed: UInt64 = 0
    /// Tokens that ``PagePool/reclaim(_:)`` refused.
    public var refusedTokens: UInt64 = 0
    /// Handles that were put after a device's fence, which has signalled.
    package var fenced: UInt64 = 0
    /// Those of them whose fence ended with an error.
    package var fenceFailures: UInt64 = 0

    /// Nothing has happened: for whoever fills in the kernel's counters of its own pools.
    package init() {}

    /// Number of allocations that got a buffer.
    public var allocationCount: UInt64 {
      alloc.fast + alloc.refill + alloc.slow + alloc.slowHighOrder
    }
    /// Number of buffers that came back.
    public var returnCount: UInt64 { recycle.cached + recycle.ring + recycle.releasedRefcnt }
    /// Of a hundred buffers that came back, how many stayed in the pool for the next allocation.
    /// 0 while none has come back.
    public var recyclePercent: Double {
      guard returnCount > 0 else { return 0 }
      let kept = recycle.cached + recycle.ring
      let lost = min(kept, recycle.ringFull + alloc.waive)
      return 100 * Double(kept - lost) / Double(returnCount)
    }
  }
}
