// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Synchronization
import Testing

@Suite("Chunks")
struct ChunkTests {
  @Test("chunks say what they were given, newest first")
  func facts() throws {
    let pool = try GenPool(granuleByteCount: 256)
    let owner = Owner("second")
    let first = try pool.addChunk(base: 1 << 40, byteCount: 1024)
    let second = try pool.addChunk(base: 0, byteCount: 512, node: 3, owner: owner)
    #expect(pool.chunks == [second, first])
    var seen: [GenPool.Chunk] = []
    pool.forEachChunk { seen.append($0) }
    #expect(seen == [second, first])
    #expect(first.base == 1 << 40 && first.byteCount == 1024 && first.granuleCount == 4)
    #expect(first.node == nil && pool.owner(of: first) == nil && second.node == 3)
    #expect(pool.owner(of: second) === owner)
    #expect(first.slot == 0 && second.slot == 1)
    #expect(pool.byteCount == 1536 && pool.chunkCount == 2 && pool.availableByteCount == 1536)
    // The newest first, and address 0 is an address.
    let allocation = try #require(pool.allocate(byteCount: 1))
    #expect(
      allocation.address == 0 && pool.owner(of: allocation.chunk) === owner
        && allocation.byteCount == 256)
    #expect(pool.outstandingByteCount == 256 && !pool.isEmpty)
    #expect(pool.allocate(byteCount: 257)?.chunk == first)
    #expect(pool.contains(address: 0, byteCount: 512) && !pool.contains(address: 0, byteCount: 513))
    #expect(pool.contains(address: 511, byteCount: 1) && !pool.contains(address: 511, byteCount: 2))
    #expect(!pool.contains(address: 0, byteCount: 0) && !pool.contains(address: 0, byteCount: -1))
    #expect(!pool.contains(address: 0, byteCount: .max))
  }

  @Test("an allocation never spans chunks, even of neighbouring addresses")
  func neverSpans() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    for index in 0..<100 { try pool.addChunk(base: UInt64(index) * 8192, byteCount: 8192) }
    #expect(pool.allocate(byteCount: 8193) == nil)
    #expect(pool.largestFreeRun == 8192 && pool.fragmentation.freeRunCount == 100)
    #expect(!pool.contains(address: 4096, byteCount: 8192))
    for index in (0..<100).reversed() {
      #expect(pool.allocate(byteCount: 8192)?.address == UInt64(index) * 8192)
    }
  }

  @Test("the owner lives until its chunk is removed or the pool goes")
  func ownersLife() throws {
    final class Counter: Sendable { let gone = Atomic<Int>(0) }
    let counter = Counter()
    let count: @Sendable () -> Void = { counter.gone.add(1, ordering: .relaxed) }
    do {
      let pool = try GenPool(granuleByteCount: 4096)
      let chunk = try pool.addChunk(
        base: 0, byteCount: 4096, owner: Owner("removed", onDeinit: count))
      try pool.addChunk(base: 4096, byteCount: 4096, owner: Owner("kept", onDeinit: count))
      #expect(counter.gone.load(ordering: .relaxed) == 0)
      try pool.removeChunk(chunk)
      #expect(counter.gone.load(ordering: .relaxed) == 1)
      // Still out when the pool goes: forgotten.
      _ = pool.allocateGranule()
    }
    #expect(counter.gone.load(ordering: .relaxed) == 2)
  }

  @Test("an owner whose deinit uses the pool does not deadlock its removal")
  func reentrantOwner() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    let chunk = try pool.addChunk(
      base: 0, byteCount: 4096, owner: Owner("reentrant") { [weak pool] in _ = pool?.chunks })
    try pool.removeChunk(chunk)
    #expect(pool.chunks.isEmpty)
  }

  @Test("removing and adding over and over keeps every address right", arguments: [1, 2, 3])
  func churn(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let pool = try GenPool(granuleByteCount: 4096)
    var live: [(chunk: GenPool.Chunk, base: UInt64, count: Int)] = []
    // Slots of 1 MiB, each with a chunk of some size or none.
    for _ in 0..<3000 {
      let place = UInt64(Int.random(in: 0..<64, using: &random)) << 20
      if let index = live.firstIndex(where: { $0.base >> 20 == place >> 20 }) {
        let (chunk, base, count) = live.remove(at: index)
        #expect(chunk.base == base && chunk.granuleCount == count)
        try pool.removeChunk(chunk)
        #expect(pool.chunk(at: base) == nil)
      } else {
        let count = [1, 1, 2, 63, 64, 65, 130, 200].randomElement(using: &random) ?? 1
        let base = place + UInt64(Int.random(in: 0...56, using: &random) * 4096)
        let chunk = try pool.addChunk(base: base, byteCount: count * 4096)
        live.append((chunk, base, count))
      }
      let probe = live.randomElement(using: &random)
      if let (chunk, base, count) = probe {
        let address = base + UInt64(count * 4096 - 1)
        #expect(pool.chunk(at: base) == chunk && pool.chunk(at: address) == chunk)
        #expect(pool.chunk(at: address + 1) != chunk)
        let allocation = try #require(pool.allocate(byteCount: 4096))
        #expect(pool.chunk(at: allocation.address) == allocation.chunk)
        #expect(pool.availableByteCount == pool.byteCount - 4096)
        try pool.free(allocation)
      }
      #expect(pool.byteCount == live.reduce(0) { $0 + $1.count * 4096 })
      #expect(pool.chunkCount == live.count)
    }
    // All that is left can be handed out exactly once.
    var seen: Set<UInt64> = []
    while let batch = pool.allocateBatch(upTo: 64) {
      for bit in 0..<64 where batch.mask & 1 << UInt64(bit) != 0 {
        #expect(seen.insert(batch.chunk.address(ofGranule: batch.firstGranule + bit)).inserted)
      }
    }
    #expect(seen.count == live.reduce(0) { $0 + $1.count })
    // A removed chunk's slot is used again, so the table does not grow with the churn.
    #expect(live.allSatisfy { $0.chunk.slot < 400 })
  }

  @Test("slots are used again only where the bitmap fits, and what is reused starts out free")
  func slotReuse() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    func words(_ count: Int) throws -> GenPool.Chunk {
      try pool.addChunk(base: UInt64(1 << 40), byteCount: count * 64 * 4096)
    }
    let first = try words(9)
    try pool.removeChunk(first)
    for (count, slot) in [(10, 1), (8, 1), (5, 1), (4, 1), (2, 2), (9, 1), (1, 2), (3, 3)] {
      let chunk = try words(count)
      #expect(chunk.slot == slot, "\(count) words")
      #expect(pool.availableByteCount(of: chunk) == chunk.byteCount)
      let all = try #require(pool.allocate(byteCount: chunk.byteCount))
      #expect(pool.allocateGranule() == nil)
      try pool.free(all)
      try pool.removeChunk(chunk)
    }
  }

  @Test("more than 64^4 granules in one chunk: several words at the top level")
  func hugeChunk() throws {
    let pool = try GenPool(granuleByteCount: 256)
    let count = (1 << 24) * 2 + 100
    let chunk = try pool.addChunk(base: 1 << 40, byteCount: count * 256)
    #expect(pool.availableByteCount(of: chunk) == count * 256)
    // All but the last granules in one piece, then those.
    let most = try #require(pool.allocate(byteCount: (count - 3) * 256))
    var last: [Int] = []
    while let granule = pool.allocateGranule() { last.append(granule.index) }
    #expect(last.sorted() == [count - 3, count - 2, count - 1])
    #expect(pool.largestFreeRun == 0)
    try pool.free(granule: count - 1, in: chunk)
    #expect(pool.allocate(byteCount: 1)?.firstGranule == count - 1)
    try pool.free(most)
    #expect(pool.largestFreeRun == (count - 3) * 256)
    #expect(pool.allocate(byteCount: 1)?.firstGranule == 0)
  }
}
