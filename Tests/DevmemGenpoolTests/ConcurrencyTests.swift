// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Synchronization
import Testing

/// Who holds which granule. Any granule that is handed out twice, or taken from its holder, is
/// counted.
final class Ledger: Sendable {
  private let holders: [Cell]
  private let base: UInt64
  private let shift: Int
  let faults = Atomic<Int>(0)
  private final class Cell: Sendable { let holder = Atomic<Int>(0) }

  init(base: UInt64, count: Int, shift: Int) {
    holders = (0..<count).map { _ in Cell() }
    self.base = base
    self.shift = shift
  }

  func take(_ address: UInt64, by thread: Int) {
    let cell = holders[Int(address - base) >> shift]
    if cell.holder.exchange(thread + 1, ordering: .acquiringAndReleasing) != 0 { fault() }
  }

  func give(_ address: UInt64, by thread: Int) {
    let cell = holders[Int(address - base) >> shift]
    if cell.holder.exchange(0, ordering: .acquiringAndReleasing) != thread + 1 { fault() }
  }

  func fault() { faults.add(1, ordering: .relaxed) }
  var faultCount: Int { faults.load(ordering: .acquiring) }
  var isClear: Bool { holders.allSatisfy { $0.holder.load(ordering: .acquiring) == 0 } }
}

@Suite("Many threads", .serialized)
struct ConcurrencyTests {
  static let threadCount = 4

  /// What a thread holds.
  enum Holding {
    case granule(GenPool.Granule)
    case batch(GenPool.Batch)
    case range(GenPool.Allocation)

    var addresses: [UInt64] {
      switch self {
      case .granule(let granule): return [granule.address]
      case .batch(let batch):
        return (0..<64).filter { batch.mask & 1 << UInt64($0) != 0 }.map {
          batch.chunk.address(ofGranule: batch.firstGranule + $0)
        }
      case .range(let range):
        return (0..<range.granuleCount).map {
          range.chunk.address(ofGranule: range.firstGranule + $0)
        }
      }
    }

    func free(to pool: GenPool, byAddress: Bool) throws(GenPoolError) {
      switch self {
      case .granule(let granule):
        if byAddress {
          try pool.free(address: granule.address, byteCount: pool.granuleByteCount)
        } else {
          try pool.free(granule)
        }
      case .batch(let batch): try pool.free(batch)
      case .range(let range):
        if byAddress {
          try pool.free(address: range.address, byteCount: range.byteCount)
        } else {
          try pool.free(range)
        }
      }
    }
  }

  static func acquire(
    _ pool: GenPool, _ random: inout SeededGenerator, largest: Int
  ) -> Holding? {
    switch Int.random(in: 0..<8, using: &random) {
    case 0, 1: return pool.allocateGranule().map { .granule($0) }
    case 2, 3:
      return pool.allocateBatch(upTo: Int.random(in: 1...64, using: &random)).map { .batch($0) }
    default:
      let byteCount = Int.random(in: 1...largest * pool.granuleByteCount, using: &random)
      let strategy: GenPool.Strategy =
        switch Int.random(in: 0..<6, using: &random) {
        case 0: .bestFit
        case 1: .firstFitAligned(to: pool.granuleByteCount * 8)
        case 2: .firstFitOrderAligned
        case 3: .fixedOffset(Int.random(in: 0..<300, using: &random) * pool.granuleByteCount)
        default: .firstFit
        }
      return pool.allocate(byteCount: byteCount, strategy: strategy).map { .range($0) }
    }
  }

  @Test("every granule is in one hand at a time, whatever the threads do")
  func oneHandAtATime() throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("GenPool concurrency seed \(seed)")
    let pool = try GenPool(granuleByteCount: 4096)
    // Words shared by all threads: few granules, several chunks, tiny ones too.
    var base: UInt64 = 0
    for count in [130, 1, 64, 3, 700, 65] {
      try pool.addChunk(base: base, byteCount: count * 4096)
      base += UInt64(count * 4096)
    }
    let ledger = Ledger(base: 0, count: Int(base) / 4096, shift: 12)
    onThreads(Self.threadCount) { thread in
      var random = SeededGenerator(seed: seed &+ UInt64(thread))
      var held: [Holding] = []
      for _ in 0..<20_000 {
        if held.count < 12, Bool.random(using: &random) {
          guard let found = Self.acquire(pool, &random, largest: 100) else { continue }
          for address in found.addresses { ledger.take(address, by: thread) }
          held.append(found)
        } else if !held.isEmpty {
          let holding = held.remove(at: Int.random(in: held.indices, using: &random))
          for address in holding.addresses { ledger.give(address, by: thread) }
          do {
            try holding.free(to: pool, byAddress: Bool.random(using: &random))
          } catch { ledger.fault() }
        }
      }
      for holding in held {
        for address in holding.addresses { ledger.give(address, by: thread) }
        do { try holding.free(to: pool, byAddress: false) } catch { ledger.fault() }
      }
    }
    #expect(ledger.faultCount == 0, "seed \(seed)")
    #expect(ledger.isClear && pool.isEmpty)
    // The summaries lost nothing: all of it can be handed out again.
    var sum = 0
    while let batch = pool.allocateBatch(upTo: 64) { sum += batch.count }
    #expect(sum == Int(base) / 4096)
  }

  /// As many granules as the threads ever hold at once, spread over chunks in different ways.
  static let tightPools: [[Int]] = [
    [4], [1, 1, 1, 1], [2, 1, 1], [64], [65], [63, 1, 4], Array(repeating: 1, count: 64), [4100],
  ]

  @Test(
    "with one granule for each that is asked for, asking never fails, at full and empty words",
    arguments: tightPools, [1, 2])
  func neverFailsWhileOneIsFree(chunks: [Int], kind: Int) throws {
    let pool = try GenPool(granuleByteCount: 4096)
    var base: UInt64 = 0
    for count in chunks {
      try pool.addChunk(base: base, byteCount: count * 4096)
      base += UInt64(count * 4096) + 4096
    }
    // Leave four free, wherever.
    let total = chunks.reduce(0, +)
    var spare: [GenPool.Granule] = []
    for _ in 0..<total { spare.append(try #require(pool.allocateGranule())) }
    var random = SeededGenerator(seed: UInt64(total))
    spare.shuffle(using: &random)
    for granule in spare.prefix(4) { try pool.free(granule) }

    let ledger = Ledger(base: 0, count: Int(base) / 4096, shift: 12)
    onThreads(4) { thread in
      for round in 0..<20_000 {
        // Now and then one too many, which may fail, but must not spoil it for the others.
        let granule: GenPool.Granule?
        if kind == 1 {
          granule = pool.allocateGranule()
        } else {
          granule = pool.allocate(byteCount: 4096).map {
            GenPool.Granule(chunk: $0.chunk, index: $0.firstGranule)
          }
        }
        guard let granule else {
          ledger.fault()
          continue
        }
        ledger.take(granule.address, by: thread)
        ledger.give(granule.address, by: thread)
        do {
          if round % 3 == 0 {
            try pool.free(address: granule.address, byteCount: 1)
          } else {
            try pool.free(granule)
          }
        } catch { ledger.fault() }
      }
    }
    #expect(ledger.faultCount == 0)
    #expect(pool.availableByteCount == 4 * 4096)
    for granule in spare.dropFirst(4) { try pool.free(granule) }
    #expect(pool.isEmpty)
  }

  @Test("with more threads than granules, each one is always in somebody's reach")
  func moreThreadsThanGranules() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    for index in 0..<3 { try pool.addChunk(base: UInt64(index) * 8192, byteCount: 4096) }
    let ledger = Ledger(base: 0, count: 6, shift: 12)
    let served = Atomic<Int>(0)
    onThreads(6) { thread in
      var mine = 0
      while mine < 5000 {
        guard let granule = pool.allocateGranule() else { continue }
        ledger.take(granule.address, by: thread)
        ledger.give(granule.address, by: thread)
        do { try pool.free(granule) } catch { ledger.fault() }
        mine += 1
      }
      served.add(mine, ordering: .relaxed)
    }
    #expect(served.load(ordering: .relaxed) == 30_000)
    #expect(ledger.faultCount == 0 && pool.isEmpty)
  }

  @Test("batches: a thread that holds nothing always gets some")
  func batchesNeverFail() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    try pool.addChunk(base: 0, byteCount: Self.threadCount * 64 * 4096)
    let ledger = Ledger(base: 0, count: Self.threadCount * 64, shift: 12)
    onThreads(Self.threadCount) { thread in
      var random = SeededGenerator(seed: UInt64(thread))
      for _ in 0..<10_000 {
        guard let batch = pool.allocateBatch(upTo: Int.random(in: 1...64, using: &random)) else {
          ledger.fault()
          continue
        }
        let addresses = Holding.batch(batch).addresses
        for address in addresses { ledger.take(address, by: thread) }
        for address in addresses { ledger.give(address, by: thread) }
        do { try pool.free(batch) } catch { ledger.fault() }
      }
    }
    #expect(ledger.faultCount == 0 && pool.isEmpty)
  }

  @Test("chunks come and go while others allocate and free by address")
  func chunksComeAndGo() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    // 64 places of 1 MiB; one thread adds and removes chunks there, the others use what they get.
    let ledger = Ledger(base: 0, count: 64 * 256, shift: 12)
    try pool.addChunk(base: 0, byteCount: 8 * 4096)
    let done = Atomic<Bool>(false)
    let added = Atomic<Int>(0)
    let removed = Atomic<Int>(0)
    onThreads(Self.threadCount) { thread in
      var random = SeededGenerator(seed: 77 + UInt64(thread))
      if thread == 0 {
        var live: [GenPool.Chunk] = []
        for _ in 0..<4000 {
          if live.count < 20, Bool.random(using: &random) {
            let place = UInt64(Int.random(in: 1..<64, using: &random)) << 20
            let count = [1, 2, 64, 65, 200].randomElement(using: &random) ?? 1
            let chunk = try? pool.addChunk(base: place, byteCount: count * 4096)
            if let chunk {
              live.append(chunk)
              added.add(1, ordering: .relaxed)
            }
          } else if let index = live.indices.randomElement(using: &random) {
            do throws(GenPoolError) {
              try pool.removeChunk(live[index])
              live.remove(at: index)
              removed.add(1, ordering: .relaxed)
            } catch { if error.code != .chunkInUse { ledger.fault() } }
          }
        }
        done.store(true, ordering: .releasing)
        return
      }
      var held: [Holding] = []
      while !done.load(ordering: .acquiring) || !held.isEmpty {
        if held.count < 4, !done.load(ordering: .acquiring), Bool.random(using: &random) {
          guard let found = Self.acquire(pool, &random, largest: 70) else { continue }
          for address in found.addresses {
            ledger.take(address, by: thread)
            // What somebody holds cannot be removed, so its chunk must be found.
            if pool.chunk(at: address) == nil { ledger.fault() }
          }
          held.append(found)
        } else if !held.isEmpty {
          let holding = held.remove(at: Int.random(in: held.indices, using: &random))
          for address in holding.addresses { ledger.give(address, by: thread) }
          do {
            try holding.free(to: pool, byAddress: Bool.random(using: &random))
          } catch { ledger.fault() }
        }
      }
    }
    #expect(ledger.faultCount == 0)
    #expect(added.load(ordering: .relaxed) > 100 && removed.load(ordering: .relaxed) > 100)
    #expect(pool.isEmpty && ledger.isClear)
    for chunk in pool.chunks { try pool.removeChunk(chunk) }
    #expect(pool.byteCount == 0 && pool.allocateGranule() == nil)
  }

  @Test("of several threads that free the same granule, exactly one succeeds")
  func oneFreeWins() throws {
    let pool = try GenPool(granuleByteCount: 4096)
    let chunk = try pool.addChunk(base: 0, byteCount: 256 * 4096)
    _ = pool.allocate(byteCount: 256 * 4096)
    let wins = Atomic<Int>(0)
    onThreads(Self.threadCount) { _ in
      for granule in 0..<256 {
        do {
          try pool.free(granule: granule, in: chunk)
          wins.add(1, ordering: .relaxed)
        } catch { continue }
      }
    }
    #expect(wins.load(ordering: .relaxed) == 256 && pool.isEmpty)
  }

  @Test("the same from the cooperative pool's tasks")
  func tasks() async throws {
    let pool = try GenPool(granuleByteCount: 4096)
    try pool.addChunk(base: 0, byteCount: 100 * 4096)
    let ledger = Ledger(base: 0, count: 100, shift: 12)
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask {
          for _ in 0..<2000 {
            guard let granule = pool.allocateGranule() else {
              ledger.fault()
              continue
            }
            ledger.take(granule.address, by: task)
            await Task.yield()
            ledger.give(granule.address, by: task)
            do { try pool.free(granule) } catch { ledger.fault() }
          }
        }
      }
    }
    #expect(ledger.faultCount == 0 && pool.isEmpty)
  }
}
