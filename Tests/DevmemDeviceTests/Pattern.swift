// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

/// Bytes that differ from page to page, and from seed to seed: a page that shows another page's
/// bytes is found. Filled and compared by libc, because the device tier runs under emulation.
struct Pattern {
  let seed: UInt64

  init(_ seed: UInt64) { self.seed = seed }

  func fill(_ bytes: UnsafeMutableRawBufferPointer) {
    for page in 0..<bytes.count / 4096 {
      let start = unsafe bytes.baseAddress! + page * 4096
      unsafe memset(start, Int32(truncatingIfNeeded: (page &* 31 &+ Int(seed)) & 0xff), 4096)
      unsafe start.storeBytes(of: word(page), as: UInt64.self)
      unsafe start.storeBytes(of: ~word(page), toByteOffset: 4088, as: UInt64.self)
    }
  }

  /// How many pages differ from what ``fill(_:)`` writes, if they are pages `firstPage`... of it.
  func mismatchedPageCount(_ bytes: UnsafeRawBufferPointer, firstPage: Int = 0) -> Int {
    let expected = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
    defer { unsafe expected.deallocate() }
    var count = 0
    for page in 0..<bytes.count / 4096 {
      let index = page + firstPage
      unsafe memset(
        expected.baseAddress!, Int32(truncatingIfNeeded: (index &* 31 &+ Int(seed)) & 0xff), 4096)
      unsafe expected.storeBytes(of: word(index), toByteOffset: 0, as: UInt64.self)
      unsafe expected.storeBytes(of: ~word(index), toByteOffset: 4088, as: UInt64.self)
      if unsafe memcmp(expected.baseAddress!, bytes.baseAddress! + page * 4096, 4096) != 0 {
        count += 1
      }
    }
    return count
  }

  private func word(_ page: Int) -> UInt64 {
    (UInt64(page) &+ seed) &* 0x9e37_79b9_7f4a_7c15
  }
}

extension DMABuf {
  /// The same dma-buf as another process would have it: by descriptor alone, with its own mapping.
  func asImported() throws -> DMABuf {
    try DMABuf.imported(duplicateDescriptor())
  }

  /// Fills all bytes inside a bracket.
  func fill(_ pattern: Pattern) throws {
    try withBytes(.write) { unsafe pattern.fill($0) }
  }

  /// Reads all bytes inside a bracket.
  func mismatchedPageCount(_ pattern: Pattern) throws -> Int {
    try withBytes(.read) { unsafe pattern.mismatchedPageCount(UnsafeRawBufferPointer($0)) }
  }
}

/// Writes a parameter of the udmabuf driver and gives back what was there.
func setUDMABufParameter(_ name: String, _ value: Int) throws -> Int {
  let path = "\(UDMABufDevice.parametersPath)/\(name)"
  let old = Int(try SystemFile.text(at: path).prefix { !$0.isWhitespace })!
  let file = unsafe open(path, O_WRONLY | O_CLOEXEC)
  guard file >= 0 else { throw Errno(rawValue: errno) }
  defer { close(file) }
  let text = Array("\(value)".utf8)
  guard unsafe write(file, text, text.count) == text.count else { throw Errno(rawValue: errno) }
  return old
}
