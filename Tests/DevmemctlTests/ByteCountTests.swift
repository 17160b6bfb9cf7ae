// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import devmemctl

@Suite("ByteCount")
struct ByteCountTests {
  @Test(
    "sizes with binary suffixes are read",
    arguments: [
      ("0", 0), ("1", 1), ("4096", 4096), ("64K", 65_536), ("64k", 65_536), ("2M", 2 << 20),
      ("1G", 1 << 30), ("1GiB", 1 << 30), ("3MB", 3 << 20), ("17B", 17),
    ])
  func reads(text: String, value: Int) {
    #expect(ByteCount(argument: text)?.value == value)
  }

  @Test(
    "anything else is refused",
    arguments: ["", "K", "-1", "1.5M", "0x10", "1T", "9999999999G", "٣", "1 M", "B"])
  func refuses(text: String) {
    #expect(ByteCount(argument: text) == nil)
  }

  @Test("sizes are shown in the largest fitting unit")
  func shows() {
    #expect(ByteCount(1).description == "1 byte")
    #expect(ByteCount(1023).description == "1023 bytes")
    #expect(ByteCount(1536).description == "1.5 KiB")
    #expect(ByteCount(64 << 20).description == "64 MiB")
    #expect(ByteCount(1 << 30).description == "1 GiB")
  }

  @Test("the largest sizes are described, not calculated with")
  func largest() {
    #expect(ByteCount(.max).description == "8589934591.9 GiB")
    #expect(ByteCount(3 << 29).description == "1.5 GiB")
  }
}
