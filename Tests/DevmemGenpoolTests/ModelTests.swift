// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Testing

/// One chunk, one Bool per granule, and what the kernel's five algorithms do to it, in the most
/// obvious way. Taken is true.
struct ChunkModel {
  let base: UInt64
  var taken: [Bool]

  func fits(_ start: Int, _ count: Int) -> Bool {
    start >= 0 && start + count <= taken.count && !taken[start..<start + count].contains(true)
  }

  /// Where the strategy would put `count` granules of `1 << shift` bytes.
  func place(_ count: Int, _ strategy: GenPool.Strategy, shift: Int) -> Int? {
    guard count <= taken.count else { return nil }
    let starts = 0...(taken.count - count)
    switch strategy {
    case .firstFit:
      return starts.first { fits($0, count) }
    case .firstFitAligned(to: let alignment):
      return starts.first {
        (base + UInt64($0 << shift)).isMultiple(of: UInt64(alignment)) && fits($0, count)
      }
    case .firstFitOrderAligned:
      var order = 1
      while order < count { order *= 2 }
      return starts.first { $0.isMultiple(of: order) && fits($0, count) }
    case .fixedOffset(let offset):
      return offset & (1 << shift - 1) == 0 && fits(offset >> shift, count) ? offset >> shift : nil
    case .bestFit:
      var best: (start: Int, count: Int)?
      for run in freeRuns where run.count >= count && run.count < best?.count ?? .max {
        best = (run.lowerBound, run.count)
      }
      return best?.start
    }
  }

  var freeRuns: [Range<Int>] {
    var runs: [Range<Int>] = []
    var start: Int?
    for index in 0...taken.count {
      let free = index < taken.count && !taken[index]
      if free, start == nil { start = index }
      if !free, let begun = start {
        runs.append(begun..<index)
        start = nil
      }
    }
    return runs
  }
}

@Suite("Against the model")
struct ModelTests {
  struct Shape: CustomTestStringConvertible, Sendable {
    let granule: Int
    let chunks: [Int]
    let largest: Int
    let operations: Int
    var testDescription: String { "\(chunks) granules of \(granule) bytes, up to \(largest) each" }
  }

  static let shapes = [
    Shape(granule: 4096, chunks: [1], largest: 2, operations: 500),
    Shape(granule: 256, chunks: [63, 64, 65], largest: 40, operations: 6000),
    Shape(granule: 4096, chunks: [1, 2, 3, 1, 1, 5, 64], largest: 6, operations: 6000),
    Shape(granule: 4096, chunks: [200], largest: 3, operations: 8000),
    Shape(granule: 65536, chunks: [700], largest: 150, operations: 5000),
    Shape(granule: 2 << 20, chunks: [4097, 130], largest: 900, operations: 1500),
    Shape(granule: 1, chunks: [9000], largest: 4000, operations: 600),
  ]

  @Test("random operations do what the model does, all strategies", arguments: shapes)
  func randomOperations(shape: Shape) throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("GenPool model seed \(seed)")
    try run(shape, seed: seed)
  }

  @Test(
    "the same operations from fixed seeds", arguments: shapes, [1, 0xDEAD_BEEF] as [UInt64])
  func fixedSeeds(shape: Shape, seed: UInt64) throws { try run(shape, seed: seed) }

  func run(_ shape: Shape, seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let shift = shape.granule.trailingZeroBitCount
    let pool = try GenPool(granuleByteCount: shape.granule)
    var models: [ChunkModel] = []
    var handles: [GenPool.Chunk] = []
    // Odd bases, so that address alignment and index alignment differ.
    var base = UInt64(shape.granule) * 3
    for count in shape.chunks {
      handles.append(try pool.addChunk(base: base, byteCount: count << shift))
      models.append(ChunkModel(base: base, taken: Array(repeating: false, count: count)))
      base += UInt64((count + Int.random(in: 0...5, using: &random)) << shift)
    }
    var live: [(chunk: Int, first: Int, count: Int)] = []

    for step in 0..<shape.operations {
      let context: Comment = "seed \(seed), step \(step), \(shape.testDescription)"
      if live.isEmpty || Int.random(in: 0..<100, using: &random) < 56 {
        let count = Int.random(in: 1...shape.largest, using: &random)
        let slack = Int.random(in: 0..<shape.granule, using: &random)
        let strategy = strategy(shape, &random)
        // Newest chunk first.
        var expected: (chunk: Int, first: Int)?
        for chunk in models.indices.reversed() {
          if let first = models[chunk].place(count, strategy, shift: shift) {
            expected = (chunk, first)
            break
          }
        }
        let found = pool.allocate(byteCount: count << shift - slack, strategy: strategy)
        try #require(found?.firstGranule == expected?.first, context)
        guard let found, let expected else { continue }
        let model = models[expected.chunk]
        try #require(found.chunk == handles[expected.chunk], context)
        try #require(found.granuleCount == count && found.byteCount == count << shift, context)
        try #require(found.address == model.base + UInt64(expected.first << shift), context)
        for index in 0..<count { models[expected.chunk].taken[expected.first + index] = true }
        live.append((expected.chunk, expected.first, count))
      } else {
        let index = Int.random(in: live.indices, using: &random)
        let (chunk, first, count) = live.remove(at: index)
        try give(pool, handles[chunk], first, count, shift: shift, &random, context)
        for index in 0..<count { models[chunk].taken[first + index] = false }
      }
      if step % 16 == 0 { try compare(pool, handles, models, shift: shift, context) }
    }
    for (chunk, first, count) in live {
      try give(pool, handles[chunk], first, count, shift: shift, &random, "end, seed \(seed)")
    }
    #expect(pool.isEmpty)
  }

  func strategy(_ shape: Shape, _ random: inout SeededGenerator) -> GenPool.Strategy {
    switch Int.random(in: 0..<5, using: &random) {
    case 0: return .firstFit
    case 1: return .bestFit
    case 2: return .firstFitAligned(to: 1 << Int.random(in: 0...26, using: &random))
    case 3: return .firstFitOrderAligned
    default:
      let granules = Int.random(in: 0...(shape.chunks.max() ?? 0), using: &random)
      return .fixedOffset(
        granules * shape.granule + (Int.random(in: 0..<8, using: &random) == 0 ? 1 : 0))
    }
  }

  /// Gives a range back in one of the ways there are.
  func give(
    _ pool: GenPool, _ chunk: GenPool.Chunk, _ first: Int, _ count: Int, shift: Int,
    _ random: inout SeededGenerator, _ context: Comment
  ) throws {
    let address = chunk.address(ofGranule: first)
    switch Int.random(in: 0..<4, using: &random) {
    case 0:
      for granule in first..<first + count { try pool.free(granule: granule, in: chunk) }
    case 1:
      // In two parts, as the kernel allows.
      let part = Int.random(in: 1...count, using: &random)
      try pool.free(address: address, byteCount: part << shift)
      if part < count {
        try pool.free(
          address: address + UInt64(part << shift), byteCount: (count - part) << shift)
      }
    case 2:
      var granule = first
      while granule < first + count {
        let end = min((granule | 63) + 1, first + count)
        let mask: UInt64 = (~0 >> UInt64(64 - (end - granule))) << UInt64(granule & 63)
        try pool.free(GenPool.Batch(chunk: chunk, firstGranule: granule & ~63, mask: mask))
        granule = end
      }
    default:
      try pool.free(address: address, byteCount: count << shift)
    }
    // A second time is refused, whichever way.
    try #require(throws: GenPoolError.self, context) {
      try pool.free(address: address, byteCount: count << shift)
    }
  }

  func compare(
    _ pool: GenPool, _ handles: [GenPool.Chunk], _ models: [ChunkModel], shift: Int,
    _ context: Comment
  ) throws {
    var free = 0
    var largest = 0
    var runs = 0
    for (handle, model) in zip(handles, models) {
      let sum = model.freeRuns.reduce(0) { $0 + $1.count }
      try #require(pool.availableByteCount(of: handle) == sum << shift, context)
      free += sum
      runs += model.freeRuns.count
      largest = max(largest, model.freeRuns.map(\.count).max() ?? 0)
    }
    try #require(pool.availableByteCount == free << shift, context)
    let report = pool.fragmentation
    try #require(report.freeByteCount == free << shift, context)
    try #require(report.largestFreeRunByteCount == largest << shift, context)
    try #require(report.freeRunCount == runs, context)
    try #require(pool.largestFreeRun == largest << shift, context)
  }
}
