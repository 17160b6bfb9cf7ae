// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("Footprint")
struct FootprintTests {
  @Test("records, allocator and tables take at most 40 bytes per 4 KiB, and no less than a record")
  func perIOV() throws {
    // Large, because an allocator has tables of a fixed size as well; and malloc's numbers are the
    // process's, in which other tests may run meanwhile.
    let footprint = try Footprint.measure(byteCount: 512 << 20)
    #expect(footprint.iovCount == 131_072)
    #expect(footprint.bytesPerIOV <= 40)
    #expect(footprint.bytesPerIOV >= 32)
  }
}
