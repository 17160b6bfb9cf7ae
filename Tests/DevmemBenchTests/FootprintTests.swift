// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("Footprint")
struct FootprintTests {
  @Test("records, allocator and tables take at most 40 bytes per 4 KiB, and no less than a record")
  func perIOV() throws {
    // Several, because malloc's numbers are the process's, and other tests may run meanwhile.
    let footprints = try (0..<9).map { _ in try Footprint.measure(byteCount: 64 << 20) }
    #expect(footprints.allSatisfy { $0.iovCount == 16_384 })
    let smallest = try #require(footprints.map { abs($0.bytesPerIOV) }.min())
    let largest = try #require(footprints.map(\.bytesPerIOV).max())
    #expect(smallest <= 40)
    #expect(largest >= 32)
  }
}
