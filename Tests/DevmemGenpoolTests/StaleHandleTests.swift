// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Synchronization
import Testing

@Suite("Handles that outlive what they name")
struct StaleHandleTests {
  /// Handles of a pool that is gone by the time they are returned.
  private func leftovers(chunkCount: Int = 3, granulesEach: Int = 100) throws -> [GenPool.Chunk] {
    let pool = try GenPool(granuleByteCount: 4096)
    for index in 0..<chunkCount {
      try pool.addChunk(
        base: UInt64(index) << 32, byteCount: granulesEach * 4096, node: 1, owner: Owner("gone"))
    }
    return pool.chunks
  }

  private func expectGone(_ chunk: GenPool.Chunk) {
    #expect(!chunk.isLive && chunk.base == 0 && chunk.granuleCount == 0)
    #expect(chunk.byteCount == 0 && chunk.node == nil)
    _ = (chunk.slot, chunk.address(ofGranule: .max))
  }

  @Test("a chunk whose pool is gone says so, also when another pool has got the memory")
  func poolGone() throws {
    var kept = try leftovers()
    for round in 0..<20 {
      for chunk in kept { expectGone(chunk) }
      // Segments and records are used again: by pools of other granules, sizes and counts.
      let next = try GenPool(granuleByteCount: 512 << (round % 4))
      for index in 0..<(round * 7 % 11) {
        try next.addChunk(base: UInt64(index) << 40, byteCount: (index * 97 + 1) << 12, node: 5)
      }
      for chunk in kept { expectGone(chunk) }
      kept += try leftovers(chunkCount: round % 5, granulesEach: round * 50 + 1)
    }
    #expect(Set(kept).count == kept.count)
  }

  @Test(
    "a handle of a pool that is gone is refused by every function of another, and changes nothing")
  func refusedElsewhere() throws {
    for chunk in try leftovers() {
      // Most likely in the very memory of the pool that is gone.
      let pool = try GenPool(granuleByteCount: 4096)
      try pool.addChunk(base: 0, byteCount: 100 * 4096)
      _ = try #require(pool.allocate(byteCount: 50 * 4096))
      let before = Fingerprint(pool)
      func refuses(_ body: () throws -> Void) {
        let error = #expect(throws: GenPoolError.self) { try body() }
        #expect(error?.code == .staleChunk)
      }
      refuses { try pool.free(granule: 0, in: chunk) }
      refuses { try pool.free(GenPool.Granule(chunk: chunk, index: 1)) }
      refuses { try pool.free(GenPool.Batch(chunk: chunk, firstGranule: 0, mask: 1)) }
      refuses { try pool.removeChunk(chunk) }
      #expect(pool.allocate(granules: 60..<61, in: chunk) == nil)
      #expect(pool.allocateBatch(upTo: 1, in: chunk, near: 60) == nil)
      #expect(pool.owner(of: chunk) == nil && pool.availableByteCount(of: chunk) == 0)
      #expect(Fingerprint(pool) == before)
    }
  }

  @Test("a handle of a living other pool, its granules, batches and ranges are refused by this one")
  func foreign() throws {
    let (here, there) = (
      try GenPool(granuleByteCount: 4096), try GenPool(granuleByteCount: 4096)
    )
    for pool in [here, there] {
      try pool.addChunk(base: 0, byteCount: 200 * 4096)
      _ = try #require(pool.allocate(byteCount: 100 * 4096))
    }
    let range = try #require(there.allocate(byteCount: 3 * 4096))
    let granule = try #require(there.allocateGranule())
    let batch = try #require(there.allocateBatch(upTo: 5))
    let before = [Fingerprint(here), Fingerprint(there)]
    for refused in [
      { try here.free(range) }, { try here.free(granule) }, { try here.free(batch) },
      { try here.removeChunk(range.chunk) },
    ] as [() throws -> Void] {
      let error = #expect(throws: GenPoolError.self) { try refused() }
      #expect(error?.code == .staleChunk)
    }
    #expect(here.allocate(granules: 190..<191, in: range.chunk) == nil)
    #expect(here.allocateBatch(upTo: 1, in: range.chunk, near: 190) == nil)
    #expect(here.owner(of: range.chunk) == nil && here.availableByteCount(of: range.chunk) == 0)
    #expect([Fingerprint(here), Fingerprint(there)] == before)
  }

  @Test("a handle read on one thread while its pool goes and comes on another shows all or nothing")
  func readWhilePoolsComeAndGo() throws {
    let shared = Mutex<GenPool.Chunk?>(nil)
    let stopped = Atomic<Bool>(false)
    let wrong = Atomic<Int>(0)
    onThreads(2) { thread in
      if thread == 0 {
        for round in 1...3000 {
          guard let pool = try? GenPool(granuleByteCount: 4096) else { continue }
          let granules = round % 3 * 64 + 64
          let chunk = try? pool.addChunk(
            base: UInt64(granules) << 32, byteCount: granules * 4096, node: granules)
          shared.withLock { $0 = chunk }
        }
        stopped.store(true, ordering: .releasing)
        return
      }
      while !stopped.load(ordering: .acquiring) {
        guard let chunk = shared.withLock({ $0 }) else { continue }
        for _ in 0..<20 {
          let facts = (chunk.base, chunk.granuleCount, chunk.node, chunk.byteCount)
          let isWhole =
            (facts.0 == 0 || [64, 128, 192].contains(facts.0 >> 32))
            && [0, 64, 128, 192].contains(facts.1) && [nil, 64, 128, 192].contains(facts.2)
            && (facts.3 == 0 || facts.1 == 0 || facts.3 == facts.1 * 4096)
          if !isWhole { wrong.add(1, ordering: .relaxed) }
        }
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }
}
