// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemTestSupport
import Testing

@testable import Devmem

@Suite("Pieces of several sizes from one carving")
struct SizeClassTests {
  @Test(
    "a size class passes the conformance checks",
    arguments: [256, 1024, 4096, 8192, 65536], [4096, 16384])
  func conformance(size: Int, iovByteCount: Int) throws {
    let carving = try DMABufCarving(.memoryFile(byteCount: 1 << 20), iovByteCount: iovByteCount)
    try checkMemoryProvider(SizeClassMemoryProvider(carving, iovByteCount: size))
    #expect(carving.genpool.isEmpty)
  }

  @Test("all of the memory can be had in any size, and comes back whole")
  func whole() throws {
    let carving = try DMABufCarving(.memoryFile(byteCount: 4 << 20))
    for size in [256, 2048, 4096, 32768, 1 << 20, 2 << 20] {
      let pool = try PagePool(
        provider: SizeClassMemoryProvider(carving, iovByteCount: size),
        configuration: .init(ringCapacity: 0))
      var held: [Held] = []
      while let netmem = pool.allocate() { held.append(Held(netmem)) }
      #expect(held.count == 4 << 20 / size)
      #expect(Set(held.map { $0.with { $0.offset } }).count == held.count)
      for box in held { box.with { #expect($0.offset % UInt64(size) == 0) } }
      held.removeAll()
      pool.close {}
      #expect(carving.genpool.isEmpty, "\(size)")
    }
  }

  @Test(
    "pools of five sizes never have a byte in common, whatever they do",
    arguments: 0..<6 as Range<UInt64>)
  func mixed(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let carving = try DMABufCarving(.memoryFile(byteCount: 2 << 20))
    let sizes = [256, 1024, 4096, 16384, 262144]
    let pools = try sizes.map { size in
      try PagePool(
        provider: size == 4096
          ? DMABufMemoryProvider(carving) as any MemoryProvider
          : SizeClassMemoryProvider(carving, iovByteCount: size),
        configuration: .init(cacheCapacity: 4, refillCount: 2, ringCapacity: 0))
    }
    var held: [Held] = []
    // The model: who has each 256 bytes of the buffer.
    var taken = [Bool](repeating: false, count: (2 << 20) >> 8)
    func mark(_ box: Held, _ value: Bool) {
      box.with { netmem in
        for slot in Int(netmem.offset) >> 8..<(Int(netmem.offset) + netmem.byteCount) >> 8 {
          if taken[slot] == value { Issue.record("offset \(slot << 8) twice") }
          taken[slot] = value
        }
      }
    }
    for _ in 0..<4000 {
      if Int.random(in: 0..<5, using: &random) < 3 {
        if let netmem = pools.randomElement(using: &random)!.allocate() {
          let box = Held(netmem)
          mark(box, true)
          held.append(box)
        }
      } else if !held.isEmpty {
        let box = held.remove(at: Int.random(in: 0..<held.count, using: &random))
        mark(box, false)
        box.drop()
      }
    }
    held.removeAll()
    for pool in pools { pool.close {} }
    #expect(carving.genpool.isEmpty)
    #expect(carving.genpool.largestFreeRun == 2 << 20)
  }

  @Test("four threads with a pool each, two of them of pieces, share one carving")
  func threads() throws {
    let carving = try DMABufCarving(.memoryFile(byteCount: 1 << 20))
    let small = try SizeClassMemoryProvider(carving, iovByteCount: 512)
    let whole = DMABufMemoryProvider(carving)
    let workers = (0..<4).map { _ in Worker() }
    for (number, worker) in workers.enumerated() {
      worker.start {
        do {
          var random = SeededGenerator(seed: UInt64(number))
          let pool = try PagePool(
            provider: number % 2 == 0 ? small : whole as any MemoryProvider,
            configuration: .init(cacheCapacity: 8, refillCount: 4, ringCapacity: 0))
          var held: [Held] = []
          for _ in 0..<5000 {
            if Bool.random(using: &random), let netmem = pool.allocate() {
              // Whoever else had it would have written another number.
              unsafe netmem.cpuAddress!.storeBytes(of: number, as: Int.self)
              held.append(Held(netmem))
            } else if !held.isEmpty {
              let box = held.remove(at: Int.random(in: 0..<held.count, using: &random))
              box.with { #expect(unsafe $0.cpuAddress!.load(as: Int.self) == number) }
              box.drop()
            }
          }
          held.removeAll()
          pool.close {}
        } catch {
          Issue.record(error)
        }
      }
    }
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    #expect(carving.genpool.isEmpty)
  }

  @Test("sizes that cannot be are refused", arguments: [0, 128, 300, 4 << 20])
  func refused(size: Int) throws {
    let carving = try DMABufCarving(.memoryFile(byteCount: 1 << 20))
    do throws(DevmemError) {
      _ = try SizeClassMemoryProvider(carving, iovByteCount: size)
      Issue.record("made")
    } catch {
      #expect(error.code == .invalidIOVByteCount)
    }
  }

  @Test("a piece larger than every run cannot be cut")
  func tooLarge() throws {
    let carving = try DMABufCarving(.memoryFile(byteCount: 1 << 20))
    do throws(DevmemError) {
      _ = try SizeClassMemoryProvider(carving, iovByteCount: 2 << 20)
      Issue.record("made")
    } catch {
      #expect(error.code == .cannotCarve)
    }
  }
}
