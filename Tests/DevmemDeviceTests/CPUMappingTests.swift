// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// The two mappings of a udmabuf: the same bytes, and what each is good for.
@Suite("Two mappings", .serialized) struct CPUMappingTests {
  @Test(
    "both mappings show the same bytes, whichever is written",
    arguments: [(PageSize.base4K, 16 << 20), (.huge2M, 64 << 20)])
  func sameBytes(pageSize: PageSize, byteCount: Int) throws {
    let buffer = try DMABuf.udmabuf(byteCount: byteCount, pageSize: pageSize, name: "mappings")
    let device = try buffer.asImported()
    #expect(buffer.cpuMapping?.source == .memoryFile)
    #expect(device.cpuMapping?.source == .dmaBuf)
    #expect(device.identity == buffer.identity)
    #expect(device.name == "mappings")
    #expect(device.exporter == .imported(exporterName: "udmabuf"))
    try buffer.fill(Pattern(1))
    #expect(try device.mismatchedPageCount(Pattern(1)) == 0)
    try device.fill(Pattern(2))
    #expect(try buffer.mismatchedPageCount(Pattern(2)) == 0)
  }

  @Test("pages can be pinned through the CPU mapping and not through the dma-buf's own mapping")
  func pinning() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let number = try #require(buffer.memoryFileDescriptor)
    let file = try MemoryFile(
      adopting: OwnedFileDescriptor(owning: fcntl(number, F_DUPFD_CLOEXEC, 0)))
    #expect(try file.map().canBePinned())
    let own = try DMABufDescriptor(buffer.duplicateDescriptor()).map(byteCount: 1 << 20)
    #expect(try own.canBePinned() == false)
  }

  private func sendZerocopy(
    from mapping: DMABuf.CPUMapping, offset: Int, byteCount: Int
  ) throws -> [UInt8] {
    let listener = try TCPSocket.listen()
    let client = try TCPSocket.connect(port: listener.port)
    let server = try listener.accept()
    try client.descriptor.setZerocopy(true)
    let vector = unsafe IOVector(baseAddress: mapping.baseAddress + offset, byteCount: byteCount)
    let sent = try unsafe withUnsafePointer(to: vector) {
      unsafe try client.descriptor.send(UnsafeBufferPointer(start: $0, count: 1), isZerocopy: true)
    }
    #expect(sent == byteCount)
    var received = [UInt8](repeating: 0, count: byteCount)
    try unsafe received.withUnsafeMutableBytes { bytes in
      let target = unsafe IOVector(baseAddress: bytes.baseAddress, byteCount: bytes.count)
      let count = try unsafe withUnsafePointer(to: target) {
        unsafe try server.descriptor.receive(
          into: UnsafeBufferPointer(start: $0, count: 1), waitsForAll: true)
      }
      #expect(count == byteCount)
    }
    #expect(try client.descriptor.wait(for: .completion, milliseconds: 60_000))
    let completion = try client.descriptor.readCompletion()
    #expect(completion?.first == 0 && completion?.last == 0)
    return received
  }

  @Test("MSG_ZEROCOPY sends from the CPU mapping, and is EFAULT from the dma-buf's own mapping")
  func zerocopy() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    try buffer.fill(Pattern(4))
    let mapping = try #require(buffer.cpuMapping)
    let received = try sendZerocopy(from: mapping, offset: 8192, byteCount: 32768)
    let expected = try buffer.withBytes(.read) { unsafe Array($0[8192..<8192 + 32768]) }
    #expect(received == expected)
    let device = try buffer.asImported()
    let own = try #require(device.cpuMapping)
    #expect(throws: Errno.EFAULT) {
      _ = try sendZerocopy(from: own, offset: 8192, byteCount: 32768)
    }
  }

  @Test(
    "AF_XDP takes the CPU mapping as user memory, the dma-buf's own mapping is EFAULT",
    arguments: [PageSize.base4K, .huge2M])
  func xdp(pageSize: PageSize) throws {
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20, pageSize: pageSize)
    let mapping = try #require(buffer.cpuMapping)
    let memory = try unsafe XDPMemory(
      registering: mapping.baseAddress, byteCount: mapping.byteCount, chunkByteCount: 4096)
    #expect(memory.descriptor.rawValue >= 0)
    let device = try buffer.asImported()
    let own = try #require(device.cpuMapping)
    #expect(throws: Errno.EFAULT) {
      _ = try unsafe XDPMemory(registering: own.baseAddress, byteCount: own.byteCount)
    }
  }

  @Test("a scattered buffer's CPU mapping can be pinned as well")
  func scattered() throws {
    let file = try MemoryFile(name: "scattered", byteCount: 64 * 4096)
    try file.addSeals()
    let buffer = try DMABuf.udmabuf(
      scattering: (0..<8).map { .init(of: file, offset: $0 * 8 * 4096, byteCount: 4 * 4096) })
    let mapping = try #require(buffer.cpuMapping)
    #expect(mapping.source == .memoryFile)
    _ = try unsafe XDPMemory(registering: mapping.baseAddress, byteCount: mapping.byteCount)
  }

  @Test("huge pages are mapped as huge pages, and are contiguous by 2 MiB")
  func hugePages() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 16 << 20, pageSize: .huge2M, name: "huge")
    let mapping = try #require(buffer.cpuMapping)
    let start = unsafe String(UInt(bitPattern: mapping.baseAddress), radix: 16)
    let lines = try SystemFile.text(at: "/proc/self/smaps").split(separator: "\n")
    let index = try #require(lines.firstIndex { $0.hasPrefix("\(start)-") })
    let size = try #require(lines[index...].first { $0.hasPrefix("KernelPageSize:") })
    #expect(size.contains("2048 kB"))
    let extents = try buffer.extents
    #expect(extents.reduce(0) { $0 + $1.byteCount } == 16 << 20)
    #expect(
      extents.allSatisfy { $0.byteCount % (2 << 20) == 0 && $0.offset % (2 << 20) == 0 })
    #expect(extents.allSatisfy { $0.address!.rawValue % (2 << 20) == 0 })
  }

  @Test("extents cover all in order, and two that touch would be one")
  func extents() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20)
    let extents = try buffer.extents
    var position = 0
    for extent in extents {
      #expect(extent.offset == position)
      #expect(extent.byteCount > 0 && extent.byteCount % 4096 == 0)
      #expect(extent.address?.kind == .physical)
      position += extent.byteCount
    }
    #expect(position == 8 << 20)
    for (first, second) in zip(extents, extents.dropFirst()) {
      #expect(first.address!.advanced(by: first.byteCount) != second.address)
    }
  }

  @Test("pieces of huge pages have extents as well, told through their file")
  func extentsOfPieces() throws {
    let file = try MemoryFile(name: "pieces", byteCount: 8 << 20, pageSize: .huge2M)
    try file.addSeals()
    let buffer = try DMABuf.udmabuf(
      scattering: [
        .init(of: file, offset: 2 << 20, byteCount: 3 << 20),
        .init(of: file, offset: (1 << 20) + 4096, byteCount: 8192),
      ])
    #expect(buffer.cpuMapping?.source == .dmaBuf)
    let extents = try buffer.extents
    #expect(extents.reduce(0) { $0 + $1.byteCount } == (3 << 20) + 8192)
    #expect(extents[0].address!.rawValue % (2 << 20) == 0)
    #expect(extents.last!.address!.rawValue % (2 << 20) == (1 << 20) + 4096)
    #expect(extents.last!.offset == 3 << 20)
  }

  @Test("of an imported buffer the page map tells nothing: one extent without an address")
  func extentsOfImported() throws {
    let imported = try DMABuf.udmabuf(byteCount: 1 << 20).asImported()
    #expect(try imported.extents == [DMABufExtent(offset: 0, byteCount: 1 << 20, address: nil)])
  }

  @Test("a mapping keeps its memory alive after its buffer has gone")
  func faceOutlives() throws {
    func mapping() throws -> DMABuf.CPUMapping {
      let buffer = try DMABuf.udmabuf(byteCount: 65536)
      try buffer.fill(Pattern(7))
      return try #require(buffer.cpuMapping)
    }
    let kept = try mapping()
    #expect(unsafe Pattern(7).mismatchedPageCount(UnsafeRawBufferPointer(kept.bytes)) == 0)
  }

  @Test("the kernel wants a direction, and a begin before an end")
  func syncRules() throws {
    let descriptor = DMABufDescriptor(
      try DMABuf.udmabuf(byteCount: 4096).duplicateDescriptor())
    #expect(throws: Errno.EINVAL) { try descriptor.endCPUAccess(.read) }
    #expect(throws: Errno.EINVAL) { try descriptor.beginCPUAccess([]) }
    try descriptor.beginCPUAccess(.readWrite)
    try descriptor.endCPUAccess(.readWrite)
  }

  @Test("a bracket is two system calls, also around a body that throws, nested or not")
  func brackets() throws {
    struct BodyError: Error {}
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    let counts = SystemCallSeam.counting {
      #expect(throws: BodyError.self) {
        try buffer.withCPUAccess(.read) {
          try buffer.withCPUAccess(.write) { throw BodyError() }
        }
      }
    }
    #expect(counts == [.dmabufSync: 4])
    #expect(!buffer.isCPUAccessOpen(for: .read) && !buffer.isCPUAccessOpen(for: .write))
    SystemCallSeam.forcing(.EAGAIN, on: .dmabufSync, times: 3) {
      #expect(throws: Never.self) { try buffer.withCPUAccess(.read) {} }
    }
    SystemCallSeam.forcing(.EIO, on: .dmabufSync) {
      let error = #expect(throws: DevmemError.self) { try buffer.withCPUAccess(.read) {} }
      #expect(error?.underlying == .EIO)
    }
    #expect(!buffer.isCPUAccessOpen(for: .read))
  }

  @Test("a sync file can be taken out of a dma-buf and put into another")
  func syncFiles() throws {
    let first = DMABufDescriptor(try DMABuf.udmabuf(byteCount: 4096).duplicateDescriptor())
    let second = DMABufDescriptor(try DMABuf.udmabuf(byteCount: 4096).duplicateDescriptor())
    let fence = try first.exportSyncFile(.readWrite)
    try second.importSyncFile(fence, .write)
    #expect(throws: Errno.EINVAL) { _ = try first.exportSyncFile([]) }
    let file = try MemoryFile(name: "nofence", byteCount: 4096)
    let noFence = SyncFile(try file.descriptor.duplicate())
    #expect(throws: Errno.EINVAL) { try second.importSyncFile(noFence, .read) }
  }

  @Test("the buffer's memory lives as long as its mapping, after every descriptor has gone")
  func outlives() throws {
    func mapped() throws -> MemoryMapping {
      let buffer = try DMABuf.udmabuf(byteCount: 65536)
      try buffer.fill(Pattern(8))
      return try DMABufDescriptor(buffer.duplicateDescriptor()).map(byteCount: 65536)
    }
    let mapping = try mapped()
    let mismatches = mapping.withBytes {
      unsafe Pattern(8).mismatchedPageCount(UnsafeRawBufferPointer($0))
    }
    #expect(mismatches == 0)
  }
}
