// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// What `allocate(byteCount:strategy:)` found. A plain value: copying it copies no memory, and
  /// dropping it frees none.
  public struct Allocation: Sendable, Hashable {
    /// The chunk it lies in.
    public let chunk: Chunk
    /// The first granule, counted from the chunk's base.
    public let firstGranule: Int
    /// How many granules.
    public let granuleCount: Int
    /// The address of the first byte.
    public let address: UInt64
    /// The size in bytes, rounded up to whole granules.
    public let byteCount: Int
  }

  /// One granule: what the fast paths pass around.
  public struct Granule: Sendable, Hashable {
    /// The chunk it lies in.
    public let chunk: Chunk
    /// The granule, counted from the chunk's base.
    public let index: Int

    /// A granule to give back: any allocated one of the chunk.
    @inlinable @inline(__always)
    public init(chunk: Chunk, index: Int) {
      self.chunk = chunk
      self.index = index
    }

    /// The address of its first byte.
    public var address: UInt64 { chunk.address(ofGranule: index) }
  }

  /// Up to 64 granules of one bitmap word, taken or given back by one atomic operation.
  public struct Batch: Sendable, Hashable {
    /// The chunk they lie in.
    public let chunk: Chunk
    /// The granule of bit 0 of `mask`; a multiple of 64.
    public let firstGranule: Int
    /// Bit i stands for granule `firstGranule + i`.
    public let mask: UInt64

    /// A batch to give back: any allocated granules of one word of the chunk.
    public init(chunk: Chunk, firstGranule: Int, mask: UInt64) {
      self.chunk = chunk
      self.firstGranule = firstGranule
      self.mask = mask
    }

    /// How many granules.
    public var count: Int { mask.nonzeroBitCount }
  }
}
