// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import Devmem

@Suite("Carving ragged runs")
struct CarvingTests {
  private func extent(_ offset: Int, _ byteCount: Int, at address: UInt64) -> DMABufExtent {
    DMABufExtent(
      offset: offset, byteCount: byteCount, address: DeviceAddress(address, kind: .physical))
  }

  @Test("IOVs start at multiples of their size and the rest is reported")
  func alignment() {
    // 0x3000...0x9000 with 16 KiB IOVs: one at 0x4000; 4 KiB before and 4 KiB after it are left.
    let carving = Carving(extents: [extent(0, 0x6000, at: 0x3000)], iovByteCount: 0x4000)
    #expect(carving.iovCount == 1)
    #expect(carving.owners[0].baseVirtual == 0x1000)
    #expect(carving.owners[0].baseAddress == DeviceAddress(0x4000, kind: .physical))
    #expect(carving.unusableByteCount == 0x2000)
    #expect(carving.owners[0].unusableByteCount == 0x2000)
  }

  @Test("runs too short for an IOV are left out and counted")
  func short() {
    let carving = Carving(
      extents: [extent(0, 0x1000, at: 0x1000), extent(0x1000, 0x2000, at: 0x8000)],
      iovByteCount: 0x2000)
    #expect(carving.owners.count == 1)
    #expect(carving.owners[0].index == 0)
    #expect(carving.owners[0].firstIOV == 0)
    #expect(carving.unusableByteCount == 0x1000)
  }

  @Test(
    "random runs: every IOV lies inside one run, none overlap, and all bytes are accounted for",
    arguments: 0..<40 as Range<UInt64>)
  func random(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let size = 4096 << Int.random(in: 0...4, using: &random)
    var extents: [DMABufExtent] = []
    var offset = 0
    var address: UInt64 = 0x10_0000
    for _ in 0..<Int.random(in: 1...60, using: &random) {
      let byteCount = 4096 * Int.random(in: 1...40, using: &random)
      address += 4096 * UInt64.random(in: 1...50, using: &random)
      extents.append(extent(offset, byteCount, at: address))
      offset += byteCount
      address += UInt64(byteCount)
    }
    let carving = Carving(extents: extents, iovByteCount: size)
    #expect(carving.iovCount * size + carving.unusableByteCount == offset)
    #expect(carving.owners.reduce(0) { $0 + $1.iovCount } == carving.iovCount)
    // The model: where every IOV starts, from the definition.
    var starts: [(offset: Int, address: UInt64)] = []
    for run in extents {
      var address = run.address!.rawValue
      let end = address + UInt64(run.byteCount)
      if address % UInt64(size) != 0 { address += UInt64(size) - address % UInt64(size) }
      while address + UInt64(size) <= end {
        starts.append((run.offset + Int(address - run.address!.rawValue), address))
        address += UInt64(size)
      }
    }
    #expect(starts.count == carving.iovCount)
    for owner in carving.owners {
      for index in 0..<owner.iovCount {
        let (offset, address) = starts[owner.firstIOV + index]
        #expect(Int(owner.baseVirtual) + index * size == offset)
        #expect(owner.baseAddress.rawValue + UInt64(index * size) == address)
      }
    }
    // The table that finds an IOV by offset, byte by byte at the edges.
    let table = IOVStarts(owners: carving.owners, iovByteCount: size)
    for probe in stride(from: 0, to: offset, by: 1024) {
      let expected = starts.firstIndex { $0.offset <= probe && probe < $0.offset + size }
      let found = table.candidates(for: UInt64(probe)).first { index in
        starts[index].offset <= probe && probe < starts[index].offset + size
      }
      #expect(found == expected)
    }
  }
}
