// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

/// Numbers that no memory has: each maker refuses them by a code, and keeps nothing.
@Suite("Extreme sizes")
struct ExtremeSizeTests {
  static let integers: [Int] = [
    .min, .min + 1, .min & ~4095 + 4096, -4096, -1, 0, 1, 4095, 4097, 1 << 47, 1 << 52, 1 << 61,
    1 << 62,
    .max & ~((1 << 30) - 1), .max & ~((1 << 21) - 1), .max & ~4095, .max - 1, .max,
  ]
  static let pageSizes: [PageSize] = [.base4K, .huge2M, .huge1G]

  /// Runs a maker that has to refuse, in a process of its own.
  static func refuse<Result: ~Copyable>(_ what: String, _ body: () throws -> Result) {
    do {
      _ = try body()
      preconditionFailure("\(what) was made")
    } catch {
      // Its description is arithmetic, too.
      guard let error = error as? DevmemError, !error.description.isEmpty else {
        preconditionFailure("\(what): \(error)")
      }
    }
  }

  @Test("host memory of any size is refused by a code, and leaves nothing")
  func host() async {
    await #expect(processExitsWith: .success) {
      let before = try ResourceCount.now()
      for byteCount in ExtremeSizeTests.integers {
        for pageSize in ExtremeSizeTests.pageSizes {
          for iovByteCount in [256, 4096, 1 << 30] {
            ExtremeSizeTests.refuse("host \(byteCount) \(pageSize) \(iovByteCount)") {
              try HostMemoryProvider(
                byteCount: byteCount, iovByteCount: iovByteCount, pageSize: pageSize)
            }
          }
        }
        ExtremeSizeTests.refuse("IOVs of \(byteCount)") {
          try HostMemoryProvider(byteCount: 1 << 20, iovByteCount: byteCount)
        }
        if byteCount != 0, byteCount != 1 {
          ExtremeSizeTests.refuse("node \(byteCount)") {
            try HostMemoryProvider(byteCount: 1 << 20, node: byteCount)
          }
        }
      }
      let after = try ResourceCount.now()
      precondition(after == before)
    }
  }

  @Test("a buffer of any size is refused by a code, and leaves nothing")
  func buffers() async {
    await #expect(processExitsWith: .success) {
      let before = try ResourceCount.now()
      for byteCount in ExtremeSizeTests.integers {
        for pageSize in ExtremeSizeTests.pageSizes {
          ExtremeSizeTests.refuse("file \(byteCount) \(pageSize)") {
            try DMABuf.memoryFile(byteCount: byteCount, pageSize: pageSize)
          }
          ExtremeSizeTests.refuse("udmabuf \(byteCount) \(pageSize)") {
            try DMABuf.udmabuf(byteCount: byteCount, pageSize: pageSize)
          }
          ExtremeSizeTests.refuse("udmabufs \(byteCount) \(pageSize)") {
            try DMABuf.udmabufs(byteCount: byteCount, pageSize: pageSize)
          }
        }
        ExtremeSizeTests.refuse("heap \(byteCount)") { try DMABuf.dmaHeap(byteCount: byteCount) }
        ExtremeSizeTests.refuse("dumb \(byteCount)") { try DMABuf.drmDumb(byteCount: byteCount) }
      }
      let after = try ResourceCount.now()
      precondition(after == before)
    }
  }

  @Test("ranges of any offset and size are refused by a code, also together, and leave nothing")
  func ranges() async {
    await #expect(processExitsWith: .success) {
      let file = try MemoryFile(name: "ranges", byteCount: 8192)
      try file.addSeals()
      let sparse = try [0, 1].map { _ throws(Errno) in
        let file = try MemoryFile(name: "sparse", byteCount: 1 << 62)
        try file.addSeals()
        return file
      }
      let before = try ResourceCount.now()
      for offset in ExtremeSizeTests.integers where offset != 0 {
        for byteCount in ExtremeSizeTests.integers {
          ExtremeSizeTests.refuse("\(offset) \(byteCount)") {
            try DMABuf.udmabuf(
              scattering: [.init(of: file, offset: offset, byteCount: byteCount)])
          }
        }
        ExtremeSizeTests.refuse("\(offset) and what follows") {
          try DMABuf.udmabuf(scattering: [.init(of: file, offset: offset)])
        }
      }
      for byteCount in ExtremeSizeTests.integers {
        ExtremeSizeTests.refuse("\(byteCount)") {
          try DMABuf.udmabuf(scattering: [.init(of: file, byteCount: byteCount)])
        }
      }
      // Each is in order, their sum is no number.
      do {
        _ = try DMABuf.udmabuf(scattering: sparse.map { DMABuf.MemoryRange(of: $0) })
        preconditionFailure("made")
      } catch let error as DevmemError { precondition(error.code == .sizeLimit, "\(error)") }
      let after = try ResourceCount.now()
      precondition(after == before)
    }
  }

  @Test("IOVs and pieces of any size are refused by a code, and leave nothing")
  func carving() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.memoryFile(byteCount: 8192)
      let bound = try DMABufCarving(DMABuf.memoryFile(byteCount: 8192))
      let before = try ResourceCount.now()
      for value in ExtremeSizeTests.integers {
        ExtremeSizeTests.refuse("IOVs of \(value)") {
          try DMABufCarving(buffer, iovByteCount: value)
        }
        ExtremeSizeTests.refuse("pieces of \(value)") {
          try SizeClassMemoryProvider(bound, iovByteCount: value)
        }
        let position = UInt64(bitPattern: Int64(value))
        let index = bound.iovIndex(atOffset: position)
        precondition(index == (position < 8192 ? Int(position / 4096) : nil))
        _ = bound.iovIndex(at: DeviceAddress(position, kind: .bufferOffset))
        _ = bound.iovIndex(at: DeviceAddress(position, kind: .physical))
      }
      let after = try ResourceCount.now()
      precondition(after == before)
    }
  }

  @Test(
    "a sparse file with more IOVs than there is memory for is refused, and bound by larger ones")
  func sparse() async {
    await #expect(processExitsWith: .success) {
      // 2^34 IOVs of 4 KiB, whose records would take half a tebibyte.
      let file = try MemoryFile(name: "sparse", byteCount: 1 << 46)
      try file.addSeals()
      let buffer = try DMABuf.importedMemoryFile(file.descriptor.duplicate())
      let small = try MemoryFile(name: "sparse", byteCount: 1 << 42)
      try small.addSeals()
      let other = try DMABuf.importedMemoryFile(small.descriptor.duplicate())
      let before = try ResourceCount.now()
      for buffer in [buffer, other] {
        do {
          _ = try DMABufCarving(buffer, iovByteCount: 4096)
          // A machine with enough memory, for the smaller one.
          let available = try SystemProcess.availableMemoryByteCount()
          precondition(available > 32 << 30)
        } catch let error as DevmemError {
          precondition(error.code == .outOfMemory || error.code == .cannotCarve, "\(error)")
        }
      }
      let after = try ResourceCount.now()
      precondition(after == before)
      let carving = try DMABufCarving(other, iovByteCount: 2 << 20)
      precondition(carving.iovCount == 1 << 21)
      ExtremeSizeTests.refuse("pieces") { try SizeClassMemoryProvider(carving, iovByteCount: 256) }
      // A file that no address space holds.
      let huge = try MemoryFile(name: "huge", byteCount: 1 << 62)
      try huge.addSeals()
      ExtremeSizeTests.refuse("a mapping") {
        try DMABuf.importedMemoryFile(huge.descriptor.duplicate())
      }
    }
  }
}
