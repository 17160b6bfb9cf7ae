// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Testing

/// The checks before the ioctl; what comes after needs a device.
@Suite struct DMABufScatteringTests {
  private static func sealedFile(byteCount: Int = 8 * 4096) throws -> MemoryFile {
    let file = try MemoryFile(name: "scattered", byteCount: byteCount)
    try file.addSeals()
    return file
  }

  private func code(of ranges: [DMABuf.MemoryRange]) -> DevmemError.Code? {
    do {
      _ = try DMABuf.udmabuf(scattering: ranges)
      return nil
    } catch {
      return error.code
    }
  }

  @Test(
    "an offset that is not on a page, or not in the file, is refused",
    arguments: [2048, 1, -4096, 8 * 4096, 100 * 4096])
  func offsets(offset: Int) throws {
    let file = try Self.sealedFile()
    #expect(code(of: [.init(of: file, offset: offset, byteCount: 4096)]) == .invalidOffset)
  }

  @Test(
    "a byte count that is not whole pages, or leaves the file, is refused",
    arguments: [0, 2048, -4096, 9 * 4096])
  func byteCounts(byteCount: Int) throws {
    let file = try Self.sealedFile()
    #expect(code(of: [.init(of: file, byteCount: byteCount)]) == .invalidByteCount)
  }

  @Test("no ranges at all are refused")
  func none() {
    #expect(code(of: []) == .invalidByteCount)
  }

  @Test("ranges that share a byte are refused, also out of order and through a second descriptor")
  func overlap() throws {
    let file = try Self.sealedFile()
    let same = try MemoryFile(adopting: file.descriptor.duplicate())
    #expect(
      code(of: [
        .init(of: file, offset: 4096, byteCount: 8192), .init(of: same, offset: 0, byteCount: 8192),
      ]) == .overlappingRanges)
    #expect(code(of: [.init(of: file), .init(of: file)]) == .overlappingRanges)
  }

  @Test("a file that may shrink, or may not be written, is refused")
  func seals() throws {
    let unsealed = try MemoryFile(name: "unsealed", byteCount: 4096)
    #expect(code(of: [.init(of: unsealed)]) == .sealRefused)
    let readOnly = try MemoryFile(name: "readonly", byteCount: 4096)
    try readOnly.addSeals([.shrink, .write])
    #expect(code(of: [.init(of: readOnly)]) == .sealRefused)
  }
}
