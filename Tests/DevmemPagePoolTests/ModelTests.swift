// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import DevmemTestSupport
import Testing

/// Random use of a pool over its owner's thread and another one, against a model that only counts.
@Suite("The pool against a model")
struct ModelTests {
  @Test("in-flight and statistics add up at every step", arguments: 0..<12 as Range<UInt64>)
  func randomUse(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let provider = try ListProvider(iovCount: 300)
    let pool = try PagePool(
      provider: provider,
      configuration: .init(
        cacheCapacity: [2, 16, 128].randomElement(using: &random)!, refillCount: 2,
        ringCapacity: [0, 10, 1024].randomElement(using: &random)!))
    let worker = Worker()
    var handles: [Held] = []
    var tokens: [(token: NetmemToken, offset: UInt64)] = []
    var spent: [NetmemToken] = []
    var references: [UInt64: Int] = [:]  // the model: offset -> handles and tokens
    var allocations: UInt64 = 0
    var returns: UInt64 = 0

    func release(_ offset: UInt64) {
      references[offset]! -= 1
      if references[offset] == 0 {
        references[offset] = nil
        returns += 1
      }
    }

    for _ in 0..<3000 {
      switch Int.random(in: 0..<12, using: &random) {
      case 0...4:
        if let netmem = pool.allocate() {
          #expect(references[netmem.offset] == nil, "handed out twice")
          references[netmem.offset] = 1
          allocations += 1
          handles.append(Held(netmem))
        } else {
          #expect(references.count == 300)
        }
      case 5:
        guard let box = handles.randomElement(using: &random) else { continue }
        handles.append(Held(box.with { $0.share() }))
        references[box.with { $0.offset }]! += 1
      case 6, 7:
        guard !handles.isEmpty else { continue }
        let box = handles.remove(at: Int.random(in: 0..<handles.count, using: &random))
        release(box.with { $0.offset })
        box.drop()
      case 8:
        guard !handles.isEmpty else { continue }
        let count = Int.random(in: 1...min(20, handles.count), using: &random)
        let boxes = Array(handles.suffix(count))
        handles.removeLast(count)
        for box in boxes { release(box.with { $0.offset }) }
        worker.run { for box in boxes { box.drop() } }
      case 9:
        guard !handles.isEmpty else { continue }
        let box = handles.remove(at: Int.random(in: 0..<handles.count, using: &random))
        let offset = box.with { $0.offset }
        tokens.append((try box.taken().detach(), offset))
      case 10:
        guard !tokens.isEmpty else { continue }
        let (token, offset) = tokens.remove(at: Int.random(in: 0..<tokens.count, using: &random))
        let netmem = try pool.reclaim(token)
        #expect(netmem.offset == offset)
        handles.append(Held(netmem))
        spent.append(token)
      default:
        guard let token = spent.randomElement(using: &random) else { continue }
        #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(token) }
      }
      let inFlight = pool.inFlight
      let statistics = pool.statistics
      #expect(inFlight.held == references.count)
      #expect(inFlight.total == provider.outCount)
      #expect(statistics.allocationCount == allocations)
      #expect(statistics.returnCount == returns)
    }
    for (token, _) in tokens { _ = try pool.reclaim(token) }
    handles.removeAll()
    let drained = DrainFlag()
    pool.close { drained.set() }
    worker.stop()
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }

  @Test("buffers that die on four threads at once all come back", arguments: 0..<4 as Range<UInt64>)
  func concurrentReturns(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let provider = try ListProvider(iovCount: 500)
    let pool = try PagePool(provider: provider, configuration: .init(ringCapacity: 200))
    let workers = (0..<4).map { _ in Worker() }
    var allocated: UInt64 = 0
    for _ in 0..<400 {
      for worker in workers {
        var boxes: [Held] = []
        for _ in 0..<Int.random(in: 1...40, using: &random) {
          guard let netmem = pool.allocate() else { break }
          allocated += 1
          boxes.append(Held(netmem))
        }
        let given = boxes
        worker.start { for box in given { box.drop() } }
      }
    }
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    #expect(pool.inFlight.held == 0)
    #expect(pool.statistics.allocationCount == allocated)
    #expect(pool.statistics.returnCount == allocated)
    #expect(pool.inFlight.total == provider.outCount)
  }

  @Test("a pool that closes while four threads return ends exactly once", arguments: 0..<20)
  func closeRace(round: Int) throws {
    let provider = try ListProvider(iovCount: 256)
    let pool = try PagePool(provider: provider)
    let workers = (0..<4).map { _ in Worker() }
    for worker in workers {
      var boxes: [Held] = []
      for _ in 0..<50 { boxes.append(Held(try pool.take())) }
      let given = boxes
      worker.start { for box in given { box.drop() } }
    }
    let drained = DrainFlag()
    pool.close {
      #expect(!drained.isSet)
      drained.set()
    }
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
    #expect(provider.attachedCount == 0)
  }
}
