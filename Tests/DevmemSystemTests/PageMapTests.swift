// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct PageMapTests {
  @Test("a page is present after it was touched and not before")
  func present() throws {
    let mapping = try MemoryMapping.anonymous(byteCount: 4 * 4096)
    unsafe mapping.bytes[2 * 4096] = 1
    let entries = try unsafe PageMap().entries(of: mapping.baseAddress, pageCount: 4)
    #expect(entries.map(\.isPresent) == [false, false, true, false])
    #expect(entries.allSatisfy { !$0.isSwapped })
  }

  @Test("frames are told to root and hidden from others, never a wrong number")
  func frames() throws {
    let file = try MemoryFile(name: "frames", byteCount: 8 * 4096)
    let first = try file.mapPopulated()
    let second = try file.mapPopulated()
    let pageMap = try PageMap()
    let a = try unsafe pageMap.frameNumbers(of: first.baseAddress, pageCount: 8)
    let b = try unsafe pageMap.frameNumbers(of: second.baseAddress, pageCount: 8)
    #expect(a == b, "two mappings of one file have the same pages")
    if let a {
      #expect(Set(a).count == 8)
      #expect(!a.contains(0))
    }
    // A page that is not there has no frame, whoever asks.
    let untouched = try MemoryMapping.anonymous(byteCount: 4096)
    #expect(try unsafe pageMap.frameNumbers(of: untouched.baseAddress, pageCount: 1) == nil)
  }

  @Test("number 0 of a present page means hidden")
  func hidden() {
    #expect(PageMap.Entry(rawValue: 1 << 63).frameNumber == nil)
    #expect(PageMap.Entry(rawValue: 1 << 63 | 5).frameNumber == 5)
    #expect(PageMap.Entry(rawValue: 5).frameNumber == nil)
    #expect(PageMap.Entry(rawValue: 1 << 62).isSwapped)
  }
}
