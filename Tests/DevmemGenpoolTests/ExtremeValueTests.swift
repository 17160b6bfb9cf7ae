// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Testing

@Suite("Extreme values")
struct ExtremeValueTests {
  static let integers: [Int] = {
    var values = [Int.min, .min + 1, .min & ~63 + 64, -4096, -64, -1, 0, 1, 63, 64, 65, 4096]
    for shift in [30, 31, 32, 52, 57, 58, 61, 62] { values += [1 << shift, (1 << shift) - 1] }
    return values + [.max & ~4095, .max & ~63, .max - 63, .max - 1, .max]
  }()
  static let addresses: [UInt64] =
    integers.map { UInt64(bitPattern: Int64($0)) } + [.max & ~4095, .max - 1, 1 << 63]

  /// A chunk of 100 granules around the address 2^62, all of them taken.
  struct Full {
    let pool: GenPool
    let chunk: GenPool.Chunk
    let base: UInt64

    init(granule: Int) throws {
      pool = try GenPool(granuleByteCount: granule)
      base = (1 << 62) - UInt64(granule) * 4
      chunk = try pool.addChunk(base: base, byteCount: 100 * granule)
      _ = try #require(pool.allocate(granules: 0..<100, in: chunk))
    }
  }

  @Test(
    "a made-up batch is refused whatever its position, and changes nothing", arguments: [1, 4096])
  func batches(granule: Int) throws {
    let full = try Full(granule: granule)
    let before = Fingerprint(full.pool)
    for first in Self.integers {
      for mask in [1, 1 << 63, 1 << 36, ~0, 0] as [UInt64] {
        let isInside = (first == 0 && mask != 0) || (first == 64 && mask == 1)
        guard !isInside else { continue }
        let batch = GenPool.Batch(chunk: full.chunk, firstGranule: first, mask: mask)
        if mask == 0 {
          #expect(throws: Never.self) { try full.pool.free(batch) }
        } else {
          let error = #expect(throws: GenPoolError.self) { try full.pool.free(batch) }
          #expect(error?.code == .granuleOutOfRange, "\(first) \(mask)")
        }
      }
    }
    #expect(Fingerprint(full.pool) == before)
  }

  @Test("a made-up granule or address is refused, and changes nothing", arguments: [1, 4096])
  func granulesAndAddresses(granule: Int) throws {
    let full = try Full(granule: granule)
    let (pool, chunk) = (full.pool, full.chunk)
    let before = Fingerprint(pool)
    for index in Self.integers where !(0..<100).contains(index) {
      let error = #expect(throws: GenPoolError.self) { try pool.free(granule: index, in: chunk) }
      #expect(error?.code == .granuleOutOfRange)
      let made = GenPool.Granule(chunk: chunk, index: index)
      #expect(throws: GenPoolError.self) { try pool.free(made) }
      #expect(made.address == full.base &+ UInt64(bitPattern: Int64(index)) &* UInt64(granule))
    }
    for address in Self.addresses + [full.base, full.base + 99 * UInt64(granule)] {
      for byteCount in Self.integers where byteCount > 100 * granule || byteCount < 1 {
        #expect(throws: GenPoolError.self) { try pool.free(address: address, byteCount: byteCount) }
        #expect(!pool.contains(address: address, byteCount: byteCount))
      }
      #expect(pool.chunk(at: address).map { $0 == chunk } ?? true)
    }
    #expect(Fingerprint(pool) == before)
  }

  @Test("what cannot be had is nil, whatever is asked, and changes nothing", arguments: [1, 4096])
  func allocations(granule: Int) throws {
    let full = try Full(granule: granule)
    let (pool, chunk) = (full.pool, full.chunk)
    // One free granule below an address that is a multiple of 2^62, none on it.
    try pool.free(granule: 3, in: chunk)
    let before = Fingerprint(pool)
    for value in Self.integers {
      if value > granule || value < 1 {
        for strategy in [
          .firstFit, .bestFit, .firstFitOrderAligned, .firstFitAligned(to: value),
          .firstFitAligned(to: 1 << 62), .fixedOffset(value), .fixedOffset(.max),
        ] as [GenPool.Strategy] {
          #expect(
            pool.allocate(byteCount: value, strategy: strategy) == nil, "\(value) \(strategy)")
        }
      }
      let atOffset = pool.allocate(byteCount: 1, strategy: .fixedOffset(value))
      #expect(atOffset == nil || value == 3 * granule)
      if !(0..<100).contains(value) {
        #expect(pool.allocateBatch(upTo: 64, in: chunk, near: value) == nil)
        #expect(pool.allocate(granules: min(value, 0)..<max(value, 1), in: chunk) == nil)
        #expect(value == .max || pool.allocate(granules: value..<value + 1, in: chunk) == nil)
        #expect(pool.allocate(granules: Int.min..<Int.max, in: chunk) == nil)
      }
      if let batch = pool.allocateBatch(upTo: value) {
        #expect(batch.count == 1)
        try pool.free(batch)
      }
    }
    #expect(Fingerprint(pool) == before)
  }

  @Test("an alignment that no free place has is nil, up to the largest there is")
  func alignments() throws {
    let pool = try GenPool(granuleByteCount: 1)
    let chunk = try pool.addChunk(base: (1 << 62) - 4, byteCount: 64)
    let whole = try #require(pool.allocate(byteCount: 1, strategy: .firstFitAligned(to: 1 << 62)))
    #expect(whole.address == 1 << 62)
    try pool.free(whole)
    _ = try #require(pool.allocate(granules: 0..<16, in: chunk))
    let before = Fingerprint(pool)
    for shift in 6...62 {
      #expect(pool.allocate(byteCount: 1, strategy: .firstFitAligned(to: 1 << shift)) == nil)
    }
    for alignment in Self.integers where alignment < 1 || alignment.nonzeroBitCount != 1 {
      #expect(pool.allocate(byteCount: 1, strategy: .firstFitAligned(to: alignment)) == nil)
    }
    #expect(Fingerprint(pool) == before)
  }

  @Test("a chunk of any base and size is added or refused, and all together fit in an Int")
  func chunks() throws {
    for granule in [1, 4096, 1 << 40, 1 << 62] {
      let pool = try GenPool(granuleByteCount: granule)
      for base in Self.addresses {
        for byteCount in Self.integers where byteCount / granule < 1 << 20 {
          let before = pool.byteCount
          do {
            let chunk = try pool.addChunk(base: base, byteCount: byteCount, node: byteCount)
            #expect(pool.byteCount == before + byteCount)
            try pool.removeChunk(chunk)
          } catch {
            #expect(error.code != .chunkInUse && error.code != .staleChunk)
          }
          #expect(pool.byteCount == before)
        }
      }
    }
    let pool = try GenPool(granuleByteCount: 1 << 40)
    try pool.addChunk(base: 0, byteCount: 1 << 62)
    let before = Fingerprint(pool)
    let error = #expect(throws: GenPoolError.self) {
      try pool.addChunk(base: 1 << 62, byteCount: 1 << 62)
    }
    #expect(error?.code == .addressOverflow)
    #expect(Fingerprint(pool) == before)
  }
}
