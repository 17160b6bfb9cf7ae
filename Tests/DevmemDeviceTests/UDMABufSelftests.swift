// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// The seven cases of the kernel's tools/testing/selftests/drivers/dma-buf/udmabuf.c through our
/// API, with every byte compared and every errno checked; then what it leaves out.
@Suite("udmabuf selftest", .serialized) struct UDMABufSelftests {
  private static let page = 4096

  private static func sealedFile(
    pageCount: Int, pageSize: PageSize = .base4K
  ) throws -> MemoryFile {
    let file = try MemoryFile(
      name: "selftest", byteCount: pageCount * pageSize.byteCount, pageSize: pageSize)
    try file.addSeals()
    return file
  }

  private func code(_ ranges: [DMABuf.MemoryRange]) -> DevmemError.Code? {
    do {
      _ = try DMABuf.udmabuf(scattering: ranges)
      return nil
    } catch {
      return error.code
    }
  }

  @Test("1: an offset of half a page is refused, by us and by the kernel")
  func halfPageOffset() throws {
    let file = try Self.sealedFile(pageCount: 4)
    let counts = SystemCallSeam.counting {
      #expect(
        code([.init(of: file, offset: Self.page / 2, byteCount: Self.page)]) == .invalidOffset)
    }
    #expect(counts[.udmabufCreateList] == nil)
    #expect(throws: Errno.EINVAL) {
      _ = try UDMABufDevice().create(
        memoryFile: file.descriptor.rawValue, offset: Self.page / 2, byteCount: Self.page)
    }
  }

  @Test("2: a size of half a page is refused, by us and by the kernel")
  func halfPageSize() throws {
    let file = try Self.sealedFile(pageCount: 4)
    let counts = SystemCallSeam.counting {
      #expect(code([.init(of: file, byteCount: Self.page / 2)]) == .invalidByteCount)
    }
    #expect(counts[.udmabufCreateList] == nil)
    #expect(throws: Errno.EINVAL) {
      _ = try UDMABufDevice().create(
        memoryFile: file.descriptor.rawValue, offset: 0, byteCount: Self.page / 2)
    }
  }

  @Test("3: a descriptor that is no memory file is EBADFD")
  func notAMemoryFile() throws {
    let device = try UDMABufDevice()
    let (socket, _) = try UnixSocket.pair()
    for number in [0, socket.descriptor.rawValue, 9999] {
      #expect(throws: Errno.EBADFD) {
        _ = try device.create(memoryFile: number, offset: 0, byteCount: Self.page)
      }
      #expect(throws: Errno.EBADFD) {
        _ = try device.createList([.init(memoryFile: number, offset: 0, byteCount: Self.page)])
      }
    }
  }

  @Test("4: a dma-buf over a populated file shows the file's bytes")
  func populated() throws {
    let file = try Self.sealedFile(pageCount: 4)
    let mapping = try file.map()
    unsafe memset(mapping.baseAddress, 0x61, mapping.byteCount)
    let buffer = try DMABuf.udmabuf(scattering: [.init(of: file)])
    #expect(buffer.byteCount == 4 * Self.page)
    #expect(buffer.exporter == .udmabuf && buffer.isExported)
    let allA = try buffer.asImported().withBytes(.read) { unsafe $0.allSatisfy { $0 == 0x61 } }
    #expect(allA)
  }

  /// Four pieces of four base pages at the quarters of a file.
  private func quarters(of file: MemoryFile) -> [DMABuf.MemoryRange] {
    (0..<4).map {
      DMABuf.MemoryRange(
        of: file, offset: $0 * file.byteCount / 4, byteCount: 4 * Self.page)
    }
  }

  /// Cases 5 to 7: what is written into the file before and after shows in the dma-buf, byte by
  /// byte, each page at its place, and the other way round.
  private func compareQuarters(
    _ file: MemoryFile, isPopulatedFirst: Bool, expectedSource: DMABuf.CPUMapping.Source
  ) throws {
    let mapping = try file.map()
    if isPopulatedFirst { mapping.withBytes { unsafe Pattern(1).fill($0) } }
    let buffer = try DMABuf.udmabuf(scattering: quarters(of: file))
    #expect(buffer.byteCount == 16 * Self.page)
    #expect(buffer.cpuMapping?.source == expectedSource)
    let device = try buffer.asImported()

    func mismatches(_ seed: UInt64, in buffer: DMABuf) throws -> Int {
      try buffer.withBytes(.read) { bytes in
        (0..<4).reduce(0) { count, quarter in
          let piece = unsafe bytes[quarter * 4 * Self.page..<(quarter + 1) * 4 * Self.page]
          return unsafe count
            + Pattern(seed).mismatchedPageCount(
              UnsafeRawBufferPointer(rebasing: piece),
              firstPage: quarter * file.byteCount / 4 / Self.page)
        }
      }
    }
    if isPopulatedFirst {
      #expect(try mismatches(1, in: device) == 0)
      #expect(try mismatches(1, in: buffer) == 0)
    }
    mapping.withBytes { unsafe Pattern(2).fill($0) }
    #expect(try mismatches(2, in: device) == 0)
    #expect(try mismatches(2, in: buffer) == 0)

    // Written through the device's mapping, read from the file at the quarters.
    try device.fill(Pattern(3))
    for quarter in 0..<4 {
      let start = quarter * file.byteCount / 4
      let piece = unsafe UnsafeRawBufferPointer(
        rebasing: mapping.bytes[start..<start + 4 * Self.page])
      #expect(unsafe Pattern(3).mismatchedPageCount(piece, firstPage: quarter * 4) == 0)
      // The page behind the piece is not part of the dma-buf.
      let behind = unsafe UnsafeRawBufferPointer(
        rebasing: mapping.bytes[start + 4 * Self.page..<start + 5 * Self.page])
      #expect(
        unsafe Pattern(2).mismatchedPageCount(behind, firstPage: start / Self.page + 4) == 0)
    }
  }

  @Test("5: a list of four pieces shows the file's quarters, every byte at its place")
  func scattered() throws {
    try compareQuarters(
      Self.sealedFile(pageCount: 1024), isPopulatedFirst: true, expectedSource: .memoryFile)
  }

  @Test("6: the same with 2 MiB pages, populated first")
  func scatteredHuge() throws {
    try compareQuarters(
      Self.sealedFile(pageCount: 32, pageSize: .huge2M), isPopulatedFirst: true,
      expectedSource: .dmaBuf)
  }

  @Test("7: the same with 2 MiB pages, made before they exist")
  func scatteredHugeUnpopulated() throws {
    try compareQuarters(
      Self.sealedFile(pageCount: 32, pageSize: .huge2M), isPopulatedFirst: false,
      expectedSource: .dmaBuf)
  }

  @Test("seals, ranges and sizes that the kernel refuses are EINVAL, and leave no descriptor")
  func refusals() async {
    await #expect(processExitsWith: .success) {
      let device = try UDMABufDevice()
      let sealed = try MemoryFile(name: "sealed", byteCount: 4 * 4096)
      try sealed.addSeals()
      let unsealed = try MemoryFile(name: "unsealed", byteCount: 4 * 4096)
      let unsealable = try MemoryFile(name: "unsealable", byteCount: 4 * 4096, isSealable: false)
      let readOnly = try MemoryFile(name: "readonly", byteCount: 4 * 4096)
      try readOnly.addSeals([.shrink, .write])
      let futureReadOnly = try MemoryFile(name: "future", byteCount: 4 * 4096)
      try futureReadOnly.addSeals([.shrink, .futureWrite])
      let held = try ResourceCount.now()
      let refused = [
        (unsealed, 0, 4096), (unsealable, 0, 4096), (readOnly, 0, 4096),
        (futureReadOnly, 0, 4096), (sealed, 1, 4096), (sealed, 0, 1), (sealed, 0, 0),
        (sealed, 0, 5 * 4096), (sealed, 4 * 4096, 4096), (sealed, 4096, 4 * 4096),
      ]
      for (file, offset, byteCount) in refused {
        let number = file.descriptor.rawValue
        do throws(Errno) {
          _ = try device.create(memoryFile: number, offset: offset, byteCount: byteCount)
          fatalError("\(offset), \(byteCount) was taken")
        } catch {
          precondition(error == .EINVAL, "\(error)")
        }
        do throws(Errno) {
          _ = try device.createList([
            .init(memoryFile: sealed.descriptor.rawValue, offset: 0, byteCount: 4096),
            .init(memoryFile: number, offset: offset, byteCount: byteCount),
          ])
          fatalError("\(offset), \(byteCount) was taken in a list")
        } catch {
          precondition(error == .EINVAL, "\(error)")
        }
      }
      let now = try ResourceCount.now()
      precondition(now == held, "\(held), then \(now)")
    }
  }

  @Test("a file of a tmpfs is no memory file")
  func tmpfs() throws {
    let path = "/dev/shm/devmem-selftest-\(getpid())"
    let number = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    try #require(number >= 0)
    defer {
      close(number)
      unsafe unlink(path)
    }
    try #require(ftruncate(number, 4096) == 0)
    #expect(throws: Errno.EINVAL) {
      _ = try UDMABufDevice().create(memoryFile: number, offset: 0, byteCount: 4096)
    }
  }

  @Test("a buffer above the size limit names the limit's file; several buffers are made if asked")
  func sizeLimit() throws {
    let old = try setUDMABufParameter("size_limit_mb", 1)
    defer { _ = try? setUDMABufParameter("size_limit_mb", old) }
    #expect(try UDMABufDevice.limits().byteCount == 1 << 20)
    let error = #expect(throws: DevmemError.self) {
      _ = try DMABuf.udmabuf(byteCount: 3 << 20)
    }
    #expect(error?.code == .sizeLimit)
    #expect(
      error?.remedy?.contains("echo 3 | sudo tee /sys/module/udmabuf/parameters/size_limit_mb")
        == true)
    let file = try Self.sealedFile(pageCount: 257)
    #expect(code([.init(of: file)]) == .sizeLimit)
    #expect(throws: Errno.EINVAL) {
      _ = try UDMABufDevice().create(
        memoryFile: file.descriptor.rawValue, offset: 0, byteCount: 257 * 4096)
    }
    let buffers = try DMABuf.udmabufs(byteCount: 5 << 19)
    #expect(buffers.map(\.byteCount) == [1 << 20, 1 << 20, 1 << 19])
    #expect(Set(buffers.map(\.identity)).count == 3)
    let hugeError = #expect(throws: DevmemError.self) {
      _ = try DMABuf.udmabufs(byteCount: 4 << 20, pageSize: .huge2M)
    }
    #expect(hugeError?.code == .sizeLimit)
  }

  @Test("more ranges than the list limit are refused, as many are taken")
  func listLimit() throws {
    let limit = try UDMABufDevice.limits().itemCount
    #expect(limit >= 4)
    let file = try Self.sealedFile(pageCount: 2 * limit + 2)
    // Every other page, so that no two ranges touch.
    let ranges = (0...limit).map {
      DMABuf.MemoryRange(of: file, offset: $0 * 8192, byteCount: 4096)
    }
    #expect(code(ranges) == .listLimit)
    #expect(throws: Errno.EINVAL) {
      _ = try UDMABufDevice().createList(
        ranges.map {
          .init(
            memoryFile: file.descriptor.rawValue, offset: $0.offset, byteCount: $0.byteCount)
        })
    }
    try file.map().withBytes { unsafe Pattern(9).fill($0) }
    let buffer = try DMABuf.udmabuf(scattering: Array(ranges.dropLast()))
    #expect(buffer.byteCount == limit * 4096)
    let mismatches = try buffer.asImported().withBytes(.read) { bytes in
      (0..<limit).count { page in
        let piece = unsafe UnsafeRawBufferPointer(
          rebasing: bytes[page * 4096..<(page + 1) * 4096])
        return unsafe Pattern(9).mismatchedPageCount(piece, firstPage: page * 2) != 0
      }
    }
    #expect(mismatches == 0)
  }

  @Test("ranges of several files follow each other")
  func severalFiles() throws {
    let files = try (0..<3).map { _ in try Self.sealedFile(pageCount: 8) }
    for (index, file) in files.enumerated() {
      try file.map().withBytes { unsafe Pattern(UInt64(100 + index)).fill($0) }
    }
    let buffer = try DMABuf.udmabuf(
      scattering: [
        .init(of: files[2], offset: 4096, byteCount: 8192), .init(of: files[0]),
        .init(of: files[1], offset: 7 * 4096, byteCount: 4096),
        .init(of: files[2], offset: 5 * 4096, byteCount: 4096),
      ], name: "several")
    #expect(buffer.memoryFileDescriptor == nil)
    #expect(buffer.cpuMapping?.source == .memoryFile)
    let places = [(102, 1, 2), (100, 0, 8), (101, 7, 1), (102, 5, 1)]
    for side in [buffer, try buffer.asImported()] {
      try side.withBytes(.read) { bytes in
        var position = 0
        for (seed, firstPage, pageCount) in places {
          let piece = unsafe UnsafeRawBufferPointer(
            rebasing: bytes[position..<position + pageCount * 4096])
          #expect(
            unsafe Pattern(UInt64(seed)).mismatchedPageCount(piece, firstPage: firstPage) == 0)
          position += pageCount * 4096
        }
        #expect(position == bytes.count)
      }
    }
  }

  @Test("another user is refused with the way out, and told no physical address")
  func otherUser() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      let atRoot = try DMABuf.udmabuf(byteCount: 1 << 20).extents
      precondition(atRoot.allSatisfy { $0.address?.kind == .physical })
      try SystemProcess.setEffectiveUser(65534)
      do throws(DevmemError) {
        _ = try DMABuf.udmabuf(byteCount: 4096)
        fatalError("user 65534 may open /dev/udmabuf")
      } catch {
        precondition(error.code == .permissionDenied && error.underlying == .EACCES)
        precondition(error.remedy!.contains("usermod -aG kvm"))
      }
      let extents = try buffer.extents
      precondition(extents == [DMABufExtent(offset: 0, byteCount: 1 << 20, address: nil)])
    }
  }
}
