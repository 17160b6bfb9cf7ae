// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Testing

/// Kernels whose base pages are not of 4 KiB (arm64 and others can have 16 and 64): pretended here,
/// in what the library asks the kernel about its pages and in what memory files say of theirs.
@Suite struct BasePageTests {
  private static let byteCounts = [16 << 10, 64 << 10]

  private func refused(_ body: () throws(DevmemError) -> Void) -> DevmemError? {
    do throws(DevmemError) {
      try body()
    } catch {
      return error
    }
    return nil
  }

  @Test("a base page is the kernel's, a huge page is what it is called", arguments: byteCounts)
  func sizes(byteCount: Int) {
    SystemCallSeam.pretending(basePageByteCount: byteCount) {
      #expect(PageSize.base4K.byteCount == byteCount)
      #expect(1 << PageSize.base4K.shift == byteCount)
      #expect(PageSize.huge2M.byteCount == 2 << 20)
    }
    #expect(PageSize.base4K.byteCount == 4096)
  }

  @Test("memory is of whole pages of the kernel; what is not says which are", arguments: byteCounts)
  func making(byteCount: Int) throws {
    try SystemCallSeam.pretending(basePageByteCount: byteCount) { () throws in
      for part in [4096, byteCount + 4096] {
        let error = refused { () throws(DevmemError) in _ = try DMABuf.memoryFile(byteCount: part) }
        #expect(error?.code == .invalidByteCount)
        #expect(error?.remedy?.contains("multiple of \(byteCount) bytes") == true)
        let host = refused { () throws(DevmemError) in
          _ = try HostMemoryProvider(byteCount: part)
        }
        #expect(host?.code == .invalidByteCount)
        #expect(host?.remedy?.contains("page size (\(byteCount))") == true)
      }
      let file = try MemoryFile(name: "ranges", byteCount: 4 * byteCount)
      let range = DMABuf.MemoryRange(of: file, offset: 4096, byteCount: byteCount)
      let error = refused { () throws(DevmemError) in
        _ = try DMABuf.udmabuf(scattering: [range])
      }
      #expect(error?.code == .invalidOffset)
      #expect(error?.remedy?.contains("multiples of \(byteCount)") == true)
    }
  }

  @Test("another process's memory file is taken, and is of base pages", arguments: byteCounts)
  func importing(byteCount: Int) throws {
    try SystemCallSeam.pretending(basePageByteCount: byteCount) { () throws in
      let buffer = try DMABuf.memoryFile(byteCount: 8 * byteCount)
      let imported = try DMABuf.importedMemoryFile(buffer.duplicateDescriptor())
      #expect(imported.pageSize == .base4K)
      #expect(imported.byteCount == 8 * byteCount)
      try buffer.withBytes(.readWrite) { bytes in unsafe bytes[bytes.count - 1] = 5 }
      try imported.withBytes(.read) { bytes in #expect(unsafe bytes[bytes.count - 1] == 5) }
    }
  }

  @Test("IOVs are as large as is asked for, smaller than a page too", arguments: byteCounts)
  func carving(byteCount: Int) throws {
    try SystemCallSeam.pretending(basePageByteCount: byteCount) { () throws in
      for iovByteCount in [4096, byteCount, 2 * byteCount] {
        let buffer = try DMABuf.memoryFile(byteCount: 8 * byteCount)
        let carving = try DMABufCarving(
          buffer, iovByteCount: iovByteCount, addressing: .bufferOffset)
        #expect(carving.iovCount == 8 * byteCount / iovByteCount)
        let pool = try PagePool(provider: DMABufMemoryProvider(carving))
        var offsets: Set<Int> = []
        var held: [NetmemToken] = []
        while let netmem = pool.allocate() {
          #expect(netmem.byteCount == iovByteCount)
          offsets.insert(Int(netmem.offset))
          held.append(netmem.detach())
        }
        #expect(offsets == Set(stride(from: 0, to: 8 * byteCount, by: iovByteCount)))
        for token in held { _ = try pool.reclaim(token) }
        #expect(pool.inFlight.held == 0)
      }
      let host = try PagePool(provider: HostMemoryProvider(byteCount: byteCount))
      #expect(host.allocateBatch(1 << 10).count == byteCount / 4096)
    }
  }
}
