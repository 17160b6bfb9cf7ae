// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Testing

@Suite("One granule and batches")
struct GranuleTests {
  /// Granule counts around the borders of the summary levels.
  static let granuleCounts = [
    1, 2, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 262_143, 262_144, 262_145,
  ]
  static let granules = [256, 2 << 20]

  @Test("every granule is handed out once, then nothing", arguments: granuleCounts, granules)
  func everyGranuleOnce(count: Int, granule: Int) throws {
    let pool = try GenPool(granuleByteCount: granule)
    let base: UInt64 = 2 << 40
    let chunk = try pool.addChunk(base: base, byteCount: count * granule)
    #expect(chunk.granuleCount == count)
    var wrongCount = 0
    for round in 0..<2 {
      var seen = [Bool](repeating: false, count: count)
      for _ in 0..<count {
        guard let found = pool.allocateGranule(), found.index < count else {
          wrongCount += 1
          continue
        }
        if found.chunk != chunk || seen[found.index] { wrongCount += 1 }
        if found.address != base + UInt64(found.index * granule) { wrongCount += 1 }
        seen[found.index] = true
      }
      try #require(wrongCount == 0)
      #expect(pool.allocateGranule() == nil)
      #expect(pool.availableByteCount == 0)
      // Back in an order that jumps about, the second time through the address.
      var random = SeededGenerator(seed: UInt64(count))
      for index in (0..<count).shuffled(using: &random) {
        if round == 0 {
          try pool.free(granule: index, in: chunk)
        } else {
          try pool.free(address: base + UInt64(index * granule), byteCount: granule)
        }
      }
      #expect(pool.isEmpty)
      #expect(pool.largestFreeRun == count * granule)
    }
  }

  @Test("batches cover a chunk exactly once, whatever is asked", arguments: granuleCounts)
  func batchesCover(count: Int) throws {
    let pool = try GenPool(granuleByteCount: 4096)
    let chunk = try pool.addChunk(base: 0, byteCount: count * 4096)
    var asked = 1
    var taken: [GenPool.Batch] = []
    var sum = 0
    while let batch = pool.allocateBatch(upTo: asked) {
      #expect(batch.chunk == chunk && batch.firstGranule.isMultiple(of: 64))
      #expect(batch.count >= 1 && batch.count <= asked)
      sum += batch.count
      taken.append(batch)
      asked = asked % 64 + 1
    }
    #expect(sum == count)
    #expect(pool.availableByteCount == 0)
    for batch in taken { try pool.free(batch) }
    #expect(pool.isEmpty)
    for batch in taken {
      #expect(throws: GenPoolError.self) { try pool.free(batch) }
    }
    #expect(pool.isEmpty)
  }

  @Test("tens of thousands of chunks of one granule: all found, all given back by address")
  func manyTinyChunks() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    let count = 30_000
    for index in 0..<count {
      // Scattered, out of order, with gaps.
      let position = UInt64(index * 7919 % count)
      try pool.addChunk(base: position * 3 * 4096, byteCount: 4096)
    }
    #expect(pool.chunkCount == count)
    var addresses: Set<UInt64> = []
    while let granule = pool.allocateGranule() { addresses.insert(granule.address) }
    #expect(addresses.count == count)
    for address in addresses { try pool.free(address: address, byteCount: 4096) }
    #expect(pool.isEmpty)
  }
}
