// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("Footprint")
struct FootprintTests {
  @Test("records, allocator and tables take at most 40 bytes per 4 KiB, and no less than a record")
  func perIOV() throws {
    let footprint = try Footprint.measure(byteCount: 64 << 20)
    #expect(footprint.iovCount == 16_384)
    #expect(footprint.bytesPerIOV <= 40)
    #expect(footprint.bytesPerIOV >= 32)
  }
}
