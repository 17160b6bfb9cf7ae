// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Testing

@Suite("Refusals change nothing")
struct ErrorTests {
  /// A pool with a hole in the middle, two chunks, something allocated in both.
  struct Setup {
    let pool: GenPool
    let low: GenPool.Chunk
    let high: GenPool.Chunk
    let owner = Owner("low")

    init() throws {
      pool = try GenPool(granuleByteCount: 4096)
      low = try pool.addChunk(base: 0x10000, byteCount: 200 * 4096, node: 1, owner: owner)
      high = try pool.addChunk(base: 0x1000_0000, byteCount: 64 * 4096)
      // high: granules 0..<64 taken; low: 0..<3, 60..<140 and 199 taken.
      _ = pool.allocate(byteCount: 64 * 4096)
      _ = pool.allocate(byteCount: 3 * 4096)
      _ = pool.allocate(byteCount: 80 * 4096, strategy: .fixedOffset(60 * 4096))
      _ = pool.allocate(byteCount: 4096, strategy: .fixedOffset(199 * 4096))
    }

    func refuses<Result>(
      _ code: GenPoolError.Code, sourceLocation: SourceLocation = #_sourceLocation,
      _ body: () throws -> Result
    ) {
      let before = Fingerprint(pool)
      let error = #expect(throws: GenPoolError.self, sourceLocation: sourceLocation) {
        _ = try body()
      }
      #expect(error?.code == code, sourceLocation: sourceLocation)
      #expect(error?.description.hasPrefix(code.rawValue) == true, sourceLocation: sourceLocation)
      #expect(Fingerprint(pool) == before, sourceLocation: sourceLocation)
    }
  }

  @Test("a granule that is no power of two is refused", arguments: [0, -4096, 3, 4095, Int.min])
  func invalidGranule(granule: Int) {
    let error = #expect(throws: GenPoolError.self) { try GenPool(granuleByteCount: granule) }
    #expect(error?.code == .invalidGranule)
  }

  @Test("a bad chunk is refused")
  func badChunks() throws {
    let setup = try Setup()
    let pool = setup.pool
    setup.refuses(.zeroByteCount) { try pool.addChunk(base: 0, byteCount: 0) }
    setup.refuses(.zeroByteCount) { try pool.addChunk(base: 0, byteCount: -4096) }
    setup.refuses(.misalignedAddress) { try pool.addChunk(base: 2048, byteCount: 4096) }
    setup.refuses(.misalignedByteCount) { try pool.addChunk(base: 0, byteCount: 4097) }
    setup.refuses(.addressOverflow) { try pool.addChunk(base: 0 &- 4096, byteCount: 8192) }
    setup.refuses(.chunkTooLarge) {
      try pool.addChunk(base: 1 << 50, byteCount: (GenPool.maximumGranuleCount + 1) * 4096)
    }
    // Overlaps: same, first granule, last granule, inside, around, both.
    let low: UInt64 = 0x10000
    let end = low + 200 * 4096
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: low, byteCount: 200 * 4096) }
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: low - 4096, byteCount: 8192) }
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: end - 4096, byteCount: 8192) }
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: low + 4096, byteCount: 4096) }
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: 0, byteCount: 4096 * 300) }
    setup.refuses(.overlappingChunk) { try pool.addChunk(base: 0, byteCount: 0x2000_0000) }
    // Neighbours and the ends of the address space are fine.
    try pool.addChunk(base: low - 4096, byteCount: 4096)
    try pool.addChunk(base: end, byteCount: 4096)
    try pool.addChunk(base: 0, byteCount: 4096)
    try pool.addChunk(base: 0 &- 8192, byteCount: 8192)
    #expect(pool.chunk(at: .max)?.base == 0 &- 8192)
  }

  @Test("freeing what is free is refused, however it is done")
  func doubleFree() throws {
    let setup = try Setup()
    let (pool, low) = (setup.pool, setup.low)
    setup.refuses(.doubleFree) { try pool.free(granule: 3, in: low) }
    setup.refuses(.doubleFree) { try pool.free(granule: 198, in: low) }
    setup.refuses(.doubleFree) { try pool.free(address: 0x10000 + 3 * 4096, byteCount: 4096) }
    setup.refuses(.doubleFree) { try pool.free(address: 0x10000 + 59 * 4096, byteCount: 8192) }
    // One of several bits of a batch.
    setup.refuses(.doubleFree) {
      try pool.free(GenPool.Batch(chunk: low, firstGranule: 0, mask: 0b1111))
    }
    let allocation = try #require(pool.allocate(byteCount: 12_000))
    try pool.free(allocation)
    setup.refuses(.doubleFree) { try pool.free(allocation) }
    let granule = try #require(pool.allocateGranule())
    try pool.free(granule)
    setup.refuses(.doubleFree) { try pool.free(granule) }
    let batch = try #require(pool.allocateBatch(upTo: 64))
    try pool.free(batch)
    setup.refuses(.doubleFree) { try pool.free(batch) }
  }

  @Test("a size that was not allocated is refused, also over several words")
  func wrongSize() throws {
    let setup = try Setup()
    let pool = setup.pool
    let base: UInt64 = 0x10000
    setup.refuses(.zeroByteCount) { try pool.free(address: base, byteCount: 0) }
    setup.refuses(.zeroByteCount) { try pool.free(address: base, byteCount: -1) }
    setup.refuses(.wrongSize) { try pool.free(address: base, byteCount: 4 * 4096) }
    // 60..<140 is taken; 141 granules would run into free ones two words on.
    setup.refuses(.wrongSize) { try pool.free(address: base + 60 * 4096, byteCount: 81 * 4096) }
    setup.refuses(.wrongSize) { try pool.free(address: base + 60 * 4096, byteCount: 140 * 4096) }
    // Past the chunk's end, though the last granule is allocated.
    setup.refuses(.wrongSize) { try pool.free(address: base + 199 * 4096, byteCount: 8192) }
    setup.refuses(.wrongSize) { try pool.free(address: base + 199 * 4096, byteCount: .max) }
    // A size that is no whole number of granules is rounded up, as in allocate.
    try pool.free(address: base + 60 * 4096, byteCount: 80 * 4096 - 4095)
    #expect(pool.availableByteCount(of: setup.low) == (200 - 4) * 4096)
  }

  @Test("an address that is not ours, or not a granule's, is refused")
  func foreignAddress() throws {
    let setup = try Setup()
    let (pool, low) = (setup.pool, setup.low)
    for address in [0, 0xF000, 0x10000 + 200 * 4096, 0x1000_0000 + 64 * 4096, .max] as [UInt64] {
      setup.refuses(.foreignAddress) { try pool.free(address: address, byteCount: 4096) }
      #expect(pool.chunk(at: address) == nil)
      #expect(!pool.contains(address: address, byteCount: 1))
    }
    setup.refuses(.misalignedAddress) { try pool.free(address: 0x10001, byteCount: 4096) }
    setup.refuses(.misalignedAddress) { try pool.free(address: 0x10FFF, byteCount: 1) }
    for granule in [-1, 200, 255, 256, Int.max, Int.min] {
      setup.refuses(.granuleOutOfRange) { try pool.free(granule: granule, in: low) }
    }
    for (first, mask) in [
      (192, 1 << 8), (192, ~0), (256, 1), (-64, 1), (1, 1), (.max - 63, 1), (.min, 1), (.max, ~0),
    ] as [(Int, UInt64)] {
      setup.refuses(.granuleOutOfRange) {
        try pool.free(GenPool.Batch(chunk: low, firstGranule: first, mask: mask))
      }
    }
    let before = Fingerprint(pool)
    try pool.free(GenPool.Batch(chunk: low, firstGranule: 0, mask: 0))
    #expect(Fingerprint(pool) == before)
  }

  @Test("a handle of a removed chunk, or of another pool, is refused")
  func staleChunk() throws {
    let setup = try Setup()
    let pool = setup.pool
    let other = try GenPool(granuleByteCount: 4096)
    let foreign = try other.addChunk(base: 0x10000, byteCount: 200 * 4096)
    let taken = try #require(other.allocate(byteCount: 4096))
    let before = Fingerprint(other)
    setup.refuses(.staleChunk) { try pool.free(granule: 0, in: foreign) }
    setup.refuses(.staleChunk) { try pool.free(taken) }
    setup.refuses(.staleChunk) {
      try pool.free(GenPool.Batch(chunk: foreign, firstGranule: 0, mask: 1))
    }
    setup.refuses(.staleChunk) { try pool.removeChunk(foreign) }
    #expect(Fingerprint(other) == before)

    setup.refuses(.chunkInUse) { try pool.removeChunk(setup.low) }
    setup.refuses(.chunkInUse) { try pool.removeChunk(setup.high) }
    try pool.free(address: 0x1000_0000, byteCount: 64 * 4096)
    try pool.removeChunk(setup.high)
    setup.refuses(.staleChunk) { try pool.removeChunk(setup.high) }
    setup.refuses(.staleChunk) { try pool.free(granule: 0, in: setup.high) }
    setup.refuses(.foreignAddress) { try pool.free(address: 0x1000_0000, byteCount: 4096) }
    // Also when another chunk has taken over its slot.
    let next = try pool.addChunk(base: 0x2000_0000, byteCount: 64 * 4096)
    #expect(next.slot == setup.high.slot && next != setup.high)
    setup.refuses(.staleChunk) { try pool.free(granule: 0, in: setup.high) }
    setup.refuses(.staleChunk) { try pool.removeChunk(setup.high) }
    #expect(setup.high.base == 0 && setup.high.byteCount == 0)
    #expect(pool.owner(of: setup.high) == nil && pool.availableByteCount(of: setup.high) == 0)
  }

  @Test("nothing that makes no sense is ever allocated, and nothing traps")
  func nothingFits() throws {
    let setup = try Setup()
    let pool = setup.pool
    let before = Fingerprint(pool)
    #expect(pool.allocate(byteCount: 0) == nil)
    #expect(pool.allocate(byteCount: -1) == nil)
    #expect(pool.allocate(byteCount: .min) == nil)
    for strategy in [
      .firstFit, .bestFit, .firstFitAligned(to: 1 << 30), .firstFitOrderAligned, .fixedOffset(0),
    ] as [GenPool.Strategy] {
      #expect(pool.allocate(byteCount: .max, strategy: strategy) == nil)
      #expect(pool.allocate(byteCount: 61 * 4096, strategy: strategy) == nil)
    }
    for alignment in [0, -1, 3, 4097, .min, .max, 1 << 62] {
      let strategy = GenPool.Strategy.firstFitAligned(to: alignment)
      #expect(pool.allocate(byteCount: 4096, strategy: strategy) == nil)
    }
    for offset in [1, -4096, 4095, .max, .min, 200 * 4096, 1 << 62] {
      #expect(pool.allocate(byteCount: 4096, strategy: .fixedOffset(offset)) == nil)
    }
    #expect(Fingerprint(pool) == before)
    // Byte counts near the largest Int, with a granule that does not divide them down.
    let bytes = try GenPool(granuleByteCount: 1)
    try bytes.addChunk(base: 5, byteCount: 100)
    let taken = try #require(bytes.allocate(byteCount: 50, strategy: .fixedOffset(50)))
    #expect(bytes.allocate(byteCount: .max) == nil)
    #expect(bytes.allocate(byteCount: .max, strategy: .fixedOffset(.max)) == nil)
    let error = #expect(throws: GenPoolError.self) {
      try bytes.free(address: taken.address, byteCount: .max)
    }
    #expect(error?.code == .wrongSize && bytes.availableByteCount == 50)
    let empty = try GenPool(granuleByteCount: 1)
    #expect(empty.allocate(byteCount: 1) == nil && empty.allocateGranule() == nil)
    #expect(empty.allocateBatch(upTo: 64) == nil && empty.isEmpty && empty.largestFreeRun == 0)
    #expect(empty.chunks.isEmpty && empty.chunk(at: 0) == nil)
  }
}
