// SPDX-License-Identifier: Apache-2.0

extension PagePool {
  /// Sizes and placement of a pool (`struct page_pool_params`). The defaults are the kernel's.
  public struct Configuration: Sendable {
    /// Buffers that the owner's cache holds, 2 ... 65536. 128 = PP_ALLOC_CACHE_SIZE: two refills,
    /// so that a burst of one refill's size can come back without spilling.
    public var cacheCapacity: Int
    /// Buffers taken from the queue or the provider at a time, 1 ... `cacheCapacity`. 64 =
    /// PP_ALLOC_CACHE_REFILL, NAPI's budget, and what one bitmap word of the allocator can serve.
    public var refillCount: Int
    /// Buffers that the pool keeps beyond its cache before it gives them back to the provider, 0 or
    /// more. 1024 is the kernel's ring for `pool_size` 0. Returns from other threads always find
    /// room; the owner gives back what is above this when it next refills.
    public var ringCapacity: Int
    /// The NUMA node buffers should lie on, nil = any.
    public var node: Int?
    /// Buffers set aside for allocations with ``PagePool/Priority/critical`` (the role of the
    /// kernel's `pfmemalloc`), 0 ... 65536. They are never recycled: they go back to the provider,
    /// and the reserve is filled again before the cache is.
    public var reserveCount: Int
    /// Whether the pool may change the refill count between 8 and `cacheCapacity` by its miss rate:
    /// doubled when a burst uses up a refill at once, halved when the cache overflows.
    public var tunesRefill: Bool
    /// What to do when much, or little again, is held. Nil = nothing.
    public var watermarks: Watermarks?
    /// A name for reports.
    public var name: String

    /// A configuration; every number has the kernel's default.
    public init(
      cacheCapacity: Int = 128, refillCount: Int = 64, ringCapacity: Int = 1024, node: Int? = nil,
      reserveCount: Int = 0, tunesRefill: Bool = false, watermarks: Watermarks? = nil,
      name: String = "pool"
    ) {
      self.cacheCapacity = cacheCapacity
      self.refillCount = refillCount
      self.ringCapacity = ringCapacity
      self.node = node
      self.reserveCount = reserveCount
      self.tunesRefill = tunesRefill
      self.watermarks = watermarks
      self.name = name
    }

    func validate() throws(PagePoolError) {
      guard (2...65536).contains(cacheCapacity) else {
        throw .invalidConfiguration("cacheCapacity is \(cacheCapacity): use 2 to 65536")
      }
      guard (1...cacheCapacity).contains(refillCount) else {
        throw .invalidConfiguration(
          "refillCount is \(refillCount): use 1 to cacheCapacity (\(cacheCapacity))")
      }
      guard ringCapacity >= 0 else {
        throw .invalidConfiguration("ringCapacity is \(ringCapacity): use 0 or more")
      }
      guard (0...65536).contains(reserveCount) else {
        throw .invalidConfiguration("reserveCount is \(reserveCount): use 0 to 65536")
      }
      if let watermarks, watermarks.low < 0 || watermarks.low >= watermarks.high {
        throw .invalidConfiguration(
          "the watermarks are \(watermarks.low) and \(watermarks.high): use 0 <= low < high")
      }
    }
  }

  /// Which pool something is about.
  public struct Identity: Hashable, Sendable, CustomStringConvertible {
    /// Unique in the process, from 1.
    public let id: UInt64
    /// The name of the configuration.
    public let name: String

    /// The name and number, e.g. `payload#3`.
    public var description: String { "\(name)#\(id)" }
  }
}
