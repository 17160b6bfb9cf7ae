// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct MemoryFileTests {
  @Test("two mappings of a file show the same bytes")
  func twoMappings() throws {
    let file = try MemoryFile(name: "two", byteCount: 3 * 4096)
    let first = try file.mapPopulated()
    let second = try file.map(offset: 4096, byteCount: 8192)
    unsafe first.bytes.storeBytes(of: 0xa5a5_5a5a, toByteOffset: 4096 + 40, as: UInt32.self)
    #expect(unsafe second.bytes.load(fromByteOffset: 40, as: UInt32.self) == 0xa5a5_5a5a)
    #expect(second.byteCount == 8192)
  }

  @Test("a mapping outlives its file")
  func outlives() throws {
    func mapped() throws -> MemoryMapping {
      try MemoryFile(name: "outlives", byteCount: 4096).mapPopulated()
    }
    let mapping = try mapped()
    unsafe mapping.bytes.storeBytes(of: 7, toByteOffset: 4095, as: UInt8.self)
    #expect(unsafe mapping.bytes[4095] == 7)
  }

  @Test("sizes that are not whole pages are refused", arguments: [0, -4096, 1, 4095, 4097])
  func sizes(byteCount: Int) {
    #expect(throws: Errno.EINVAL) { try MemoryFile(name: "sizes", byteCount: byteCount) }
  }

  @Test("a huge-page file takes multiples of its page size alone")
  func hugeSizes() {
    #expect(throws: Errno.EINVAL) {
      try MemoryFile(name: "huge", byteCount: 1 << 20, pageSize: .huge2M)
    }
  }

  @Test("the seals of device memory fix the size and the seals, and allow writing")
  func seals() throws {
    let file = try MemoryFile(name: "seals", byteCount: 8192)
    try file.addSeals()
    #expect(try file.seals().isSuperset(of: [.shrink, .grow, .seal]))
    #expect(try file.seals().isDisjoint(with: [.write, .futureWrite]))
    #expect(throws: Errno.EPERM) { try file.resize(byteCount: 4096) }
    #expect(throws: Errno.EPERM) { try file.resize(byteCount: 16384) }
    #expect(throws: Errno.EPERM) { try file.addSeals(.write) }
    let mapping = try file.map()
    unsafe mapping.bytes[0] = 1
  }

  @Test("a file made unsealable refuses seals")
  func unsealable() throws {
    let file = try MemoryFile(name: "unsealable", byteCount: 4096, isSealable: false)
    #expect(throws: Errno.EPERM) { try file.addSeals() }
  }

  @Test("a kernel without MFD_NOEXEC_SEAL is asked again without it")
  func noExecFallback() throws {
    let counts = try SystemCallSeam.counting {
      try SystemCallSeam.forcing(.EINVAL, on: .memoryFileCreate) {
        _ = try MemoryFile(name: "old", byteCount: 4096)
      }
      _ = try MemoryFile(name: "new", byteCount: 4096)
    }
    // The inner seam counts for itself: the outer one sees the second file alone.
    #expect(counts[.memoryFileCreate] == 1)
    #expect(throws: Errno.EINVAL) {
      try SystemCallSeam.forcing(.EINVAL, on: .memoryFileCreate, times: 2) {
        _ = try MemoryFile(name: "old", byteCount: 4096)
      }
    }
  }

  @Test("mapping outside of the file is refused", arguments: [(8192, 1), (4096, 8192), (-4096, 1)])
  func outside(offset: Int, byteCount: Int) throws {
    let file = try MemoryFile(name: "outside", byteCount: 8192)
    #expect(throws: Errno.EINVAL) { _ = try file.map(offset: offset, byteCount: byteCount) }
  }

  @Test("a memory file that came by descriptor is known by size, page size and identity")
  func adopts() throws {
    let file = try MemoryFile(name: "adopts", byteCount: 12288)
    let copy = try MemoryFile(adopting: file.descriptor.duplicate())
    #expect(copy.byteCount == 12288)
    #expect(copy.pageSize == .base4K)
    #expect(copy.identity == file.identity)
  }

  @Test("what is no memory file is not adopted")
  func adoptsNothingElse() throws {
    let (socket, _) = try UnixSocket.pair()
    #expect(throws: Errno.EINVAL) {
      _ = try MemoryFile(adopting: socket.descriptor.duplicate())
    }
  }
}
