// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import Devmem

/// Memory that somebody else gave out without write permission: every handle over it says so, and
/// none raises a signal.
@Suite struct ReadOnlyMemoryTests {
  /// A buffer whose CPU face is mapped for reading alone, as an import without write permission is.
  static func makeBuffer() throws -> DMABuf {
    let file = try MemoryFile(name: "read-only", byteCount: 1 << 20)
    do {
      let mapping = try file.map()
      unsafe mapping.bytes.storeBytes(of: 7, as: UInt8.self)
    }
    let mapping = try MemoryMapping.sharedFile(
      file.descriptor, byteCount: file.byteCount, isWritable: false)
    return DMABuf(
      exporter: .memoryFile, byteCount: file.byteCount, identity: file.identity, name: nil,
      pageSize: file.pageSize, requestedNode: nil, descriptor: nil, memoryFile: file,
      memoryRanges: [], mapping: mapping, mappingSource: .memoryFile, isMappingWritable: false)
  }

  @Test(
    "no bracket for writing opens; one for reading does, and its bytes are there",
    arguments: [DMABufAccess.write, .readWrite])
  func brackets(access: DMABufAccess) throws {
    let buffer = try Self.makeBuffer()
    for write in [
      { try buffer.withCPUAccess(access) { _ = Issue.record("a bracket for writing opened") } },
      { try buffer.withBytes(access) { _ in _ = Issue.record("bytes were given for writing") } },
    ] {
      do {
        try write()
      } catch let error as DevmemError {
        #expect(error.code == .unreadable)
        #expect(error.remedy?.contains("DRM_RDWR") == true)
      }
    }
    #expect(!buffer.isCPUAccessOpen(for: .write) && !buffer.isCPUAccessOpen(for: .read))
    #expect(try buffer.withBytes(.read) { unsafe $0[0] } == 7)
  }

  @Test("a pool over it gives its buffers' bytes for reading, and never for writing")
  func handles() async {
    await #expect(processExitsWith: .success) {
      let buffer = try Self.makeBuffer()
      let binding = try DMABufCarving(buffer)
      let pool = try PagePool(provider: DMABufMemoryProvider(binding))
      var netmem = pool.allocate()!
      try buffer.withCPUAccess(.read) {
        _ = try netmem.withBytes { bytes in bytes.byteCount }
        do {
          try netmem.withMutableBytes { bytes in bytes.storeBytes(of: 1, as: UInt8.self) }
          fatalError("bytes were given for writing")
        } catch let error as NetmemError {
          precondition(error == .unreadable(.outsideCPUAccess))
        }
      }
      do {
        try buffer.withCPUAccess(.readWrite) {
          try netmem.withMutableBytes { bytes in bytes.storeBytes(of: 1, as: UInt8.self) }
        }
        fatalError("bytes were given for writing")
      } catch let error as DevmemError {
        precondition(error.code == .unreadable)
      }
    }
  }
}
