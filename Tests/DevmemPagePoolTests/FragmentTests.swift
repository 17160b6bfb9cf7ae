// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

@Suite("Fragments")
struct FragmentTests {
  private final class Box: @unchecked Sendable {
    var fragment: NetmemFragment?
    init(_ fragment: consuming NetmemFragment) { self.fragment = consume fragment }

    func with<Result>(_ body: (borrowing NetmemFragment) -> Result) -> Result {
      switch fragment {
      case .some(let fragment): body(fragment)
      case .none: fatalError("the fragment has gone")
      }
    }
    var offset: UInt64 { with { $0.offset } }
    var byteCount: Int { with { $0.byteCount } }
  }

  @Test("several fragments share an IOV, at cache lines, and the last one has the tail")
  func packing() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    var boxes: [Box] = []
    for _ in 0..<4 { boxes.append(Box(pool.allocateFragment(byteCount: 900)!)) }
    let starts = boxes.map { $0.with { $0.offsetInIOV } }
    #expect(starts == [0, 960, 1920, 2880])
    #expect(boxes.map(\.byteCount) == [960, 960, 960, 1216])
    #expect(Set(boxes.map { $0.with { $0.netmem.offset } }).count == 1)
    #expect(pool.inFlight.held == 1)
    let fifth = pool.allocateFragment(byteCount: 900)!
    #expect(fifth.offset != boxes[0].offset)
    #expect(pool.inFlight.held == 2)
    for box in boxes[..<3] { box.fragment = nil }
    #expect(pool.inFlight.held == 2)
    boxes[3].fragment = nil
    #expect(pool.inFlight.held == 1)
    _ = consume fifth
    // The pool still cuts from that one, but nobody holds a part of it.
    #expect(pool.inFlight.held == 0)
  }

  @Test("a request of which two do not fit gets the whole IOV", arguments: [2049, 4000, 4096])
  func whole(byteCount: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let fragment = pool.allocateFragment(byteCount: byteCount)!
    #expect(fragment.byteCount == 4096)
    #expect(fragment.offsetInIOV == 0)
  }

  @Test(
    "nothing, less than nothing and more than an IOV are refused and counted",
    arguments: [0, -1, 4097])
  func refused(byteCount: Int) throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    #expect(pool.allocateFragment(byteCount: byteCount) == nil ? true : false)
    #expect(pool.statistics.tooLarge == 1)
    #expect(pool.inFlight.total == 0)
  }

  @Test("an IOV whose fragments have all died is cut again without a return")
  func reuse() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    for _ in 0..<1000 {
      let fragment = pool.allocateFragment(byteCount: 1000)!
      #expect(fragment.byteCount >= 1000)
    }
    #expect(pool.statistics.alloc.slow == 1)
    #expect(pool.inFlight.held == 0)
  }

  @Test("the last fragment is its IOV's only holder once the others have died, before it or after")
  func lastOfItsIOV() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    for othersFirst in [true, false] {
      let first = Box(pool.allocateFragment(byteCount: 2048)!)
      if othersFirst { first.fragment = nil }
      let last = Box(pool.allocateFragment(byteCount: 2048)!)
      #expect(last.with { $0.iovReferenceCount } == (othersFirst ? 1 : 2))
      first.fragment = nil
      #expect(last.with { $0.iovReferenceCount } == 1)
      #expect(pool.inFlight.held == 1)
      last.fragment = nil
      #expect(pool.inFlight.held == 0)
    }
    // Each IOV counts as one allocation and one return, however it was cut.
    #expect(pool.statistics.allocationCount == 2)
    #expect(pool.statistics.returnCount == 2)
  }

  @Test(
    "an IOV with too little left is given up, or cut anew if nobody has a part of it"
  )
  func givenUp() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let small = Box(pool.allocateFragment(byteCount: 1024)!)
    let first = small.offset
    small.fragment = nil
    _ = pool.allocateFragment(byteCount: 1024)
    let held = Box(pool.allocateFragment(byteCount: 64)!)
    #expect(held.offset == first + 2048)
    let elsewhere = Box(pool.allocateFragment(byteCount: 2048)!)
    #expect(elsewhere.with { $0.offsetInIOV } == 0)
    #expect(elsewhere.with { $0.iovOffset } != first)
    held.fragment = nil
    elsewhere.fragment = nil
    #expect(pool.inFlight.held == 0)
  }

  @Test("fragments do not overlap, whatever their sizes", arguments: 0..<10 as Range<UInt64>)
  func noOverlap(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let pool = try PagePool(provider: ListProvider(iovCount: 100))
    var boxes: [Box] = []
    while let fragment = pool.allocateFragment(byteCount: Int.random(in: 1...3000, using: &random))
    {
      boxes.append(Box(fragment))
      if Int.random(in: 0..<4, using: &random) == 0 {
        boxes.remove(at: Int.random(in: 0..<boxes.count, using: &random))
      }
      if boxes.count > 150 { break }
    }
    let ranges = boxes.map { box in
      box.offset..<box.offset + UInt64(box.byteCount)
    }.sorted { $0.lowerBound < $1.lowerBound }
    for (a, b) in zip(ranges, ranges.dropFirst()) { #expect(a.upperBound <= b.lowerBound) }
    for range in ranges { #expect(range.lowerBound % 64 == 0) }
    boxes.removeAll()
    #expect(pool.inFlight.held == 0)
  }

  @Test("fragments die on other threads, and all IOVs come back")
  func threads() throws {
    let provider = try ListProvider(iovCount: 200)
    let pool = try PagePool(provider: provider)
    let workers = (0..<3).map { _ in Worker() }
    for turn in 0..<3000 {
      guard let fragment = pool.allocateFragment(byteCount: 500) else { continue }
      let box = Box(fragment)
      if turn % 4 == 3 {
        box.fragment = nil
      } else {
        workers[turn % 3].start { box.fragment = nil }
      }
    }
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    #expect(pool.inFlight.held == 0)
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }

  @Test("a fragment shows its own bytes and no others, and shares like a buffer")
  func bytes() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    var a = pool.allocateFragment(byteCount: 100)!
    var b = pool.allocateFragment(byteCount: 100)!
    try a.withMutableBytes { bytes in
      #expect(bytes.byteCount == 128)
      for position in 0..<128 { bytes.storeBytes(of: 1, toByteOffset: position, as: UInt8.self) }
    }
    try b.withMutableBytes { $0.storeBytes(of: 2, as: UInt8.self) }
    try a.withBytes { #expect(unsafe $0.unsafeLoad(fromByteOffset: 127, as: UInt8.self) == 1) }
    try b.withBytes { #expect(unsafe $0.unsafeLoad(as: UInt8.self) == 2) }
    let c = a.share()
    #expect(c.offset == a.offset)
    #expect(c.deviceAddress == a.deviceAddress)
    #expect(b.offset == a.offset + 128)
  }

  @Test("closing with fragments out waits for them")
  func close() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    let box = Box(pool.allocateFragment(byteCount: 100)!)
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(!drained.isSet)
    #expect(pool.allocateFragment(byteCount: 100) == nil ? true : false)
    box.fragment = nil
    #expect(drained.isSet)
    #expect(provider.outCount == 0)
  }
}
