// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@Suite struct MemoryMappingTests {
  @Test("anonymous memory is zero and writable to its last byte")
  func anonymous() throws {
    let mapping = try MemoryMapping.anonymous(byteCount: 64 << 10)
    try mapping.populate()
    #expect(unsafe mapping.bytes.allSatisfy { $0 == 0 })
    unsafe mapping.bytes[mapping.byteCount - 1] = 9
    #expect(unsafe mapping.bytes[mapping.byteCount - 1] == 9)
  }

  @Test("a reservation is filled piece by piece, in the order asked for")
  func reserved() throws {
    let file = try MemoryFile(name: "pieces", byteCount: 4 * 4096)
    let whole = try file.mapPopulated()
    for page in 0..<4 { unsafe whole.bytes[page * 4096] = UInt8(page + 1) }
    var mapping = try MemoryMapping.reserved(byteCount: 3 * 4096)
    try unsafe mapping.map(file.descriptor, offset: 3 * 4096, byteCount: 4096, at: 0)
    try unsafe mapping.map(file.descriptor, offset: 0, byteCount: 8192, at: 4096)
    let seen = (0..<3).map { unsafe mapping.bytes[$0 * 4096] }
    #expect(seen == [4, 1, 2])
  }

  @Test("a reservation for huge pages is aligned to them and no longer than asked for")
  func aligned() throws {
    for _ in 0..<8 {
      let mapping = try MemoryMapping.reserved(byteCount: 4096, for: .huge2M)
      #expect(unsafe UInt(bitPattern: mapping.baseAddress) % (2 << 20) == 0)
      let line = String(unsafe UInt(bitPattern: mapping.baseAddress), radix: 16) + "-"
      let maps = try SystemFile.text(at: "/proc/self/maps")
      let range = try #require(maps.split(separator: "\n").first { $0.hasPrefix(line) })
      let end = String(unsafe UInt(bitPattern: mapping.baseAddress) + 4096, radix: 16)
      #expect(range.hasPrefix(line + end + " "))
    }
    #expect(throws: Errno.ENOMEM) {
      _ = try MemoryMapping.reserved(byteCount: Int.max & ~4095, for: .huge1G)
    }
  }

  @Test(
    "a piece that leaves the reservation is refused",
    arguments: [(0, 4 * 4096), (3 * 4096, 4096), (-4096, 4096), (4096, 3 * 4096)])
  func outside(position: Int, byteCount: Int) throws {
    let file = try MemoryFile(name: "outside", byteCount: 4 * 4096)
    var mapping = try MemoryMapping.reserved(byteCount: 3 * 4096)
    #expect(throws: Errno.EINVAL) {
      try unsafe mapping.map(file.descriptor, offset: 0, byteCount: byteCount, at: position)
    }
  }

  @Test("sizes that no mapping has are refused", arguments: [0, -1])
  func sizes(byteCount: Int) throws {
    let file = try MemoryFile(name: "sizes", byteCount: 4096)
    #expect(throws: Errno.EINVAL) {
      _ = try MemoryMapping.sharedFile(file.descriptor, byteCount: byteCount)
    }
    #expect(throws: Errno.EINVAL) { _ = try MemoryMapping.anonymous(byteCount: byteCount) }
    #expect(throws: Errno.EINVAL) { _ = try MemoryMapping.reserved(byteCount: byteCount) }
  }

  @Test("pages of a memory file can be pinned, a hole in the address space cannot")
  func pinnable() throws {
    let file = try MemoryFile(name: "pinnable", byteCount: 4096)
    #expect(try file.mapPopulated().canBePinned())
    #expect(try MemoryMapping.reserved(byteCount: 4096).canBePinned() == false)
  }

  @Test("populating past the end of a file reports EFAULT instead of a signal")
  func populatePastEnd() throws {
    let file = try MemoryFile(name: "end", byteCount: 8192)
    let mapping = try file.map()
    try file.resize(byteCount: 4096)
    #expect(throws: Errno.EFAULT) { try mapping.populate() }
  }

  @Test("a read-only mapping shows what a writable one writes")
  func readOnly() throws {
    let file = try MemoryFile(name: "readonly", byteCount: 4096)
    let writable = try file.map()
    let readable = try MemoryMapping.sharedFile(
      file.descriptor, byteCount: 4096, isWritable: false)
    unsafe writable.bytes[17] = 3
    #expect(unsafe readable.bytes[17] == 3)
  }

  @Test(
    "several threads populate all of a mapping, whatever its size is to theirs",
    arguments: [4096, 2 << 20, (2 << 20) + 4096, 7 << 20, 33 << 20])
  func populatedByThreads(byteCount: Int) throws {
    for (threadCount, isAllocated) in [
      (1, false), (2, false), (3, true), (16, false), (100, true),
    ] {
      let file = try MemoryFile(name: "threads", byteCount: byteCount)
      let mapping = try file.map()
      try mapping.populate(threadCount: threadCount, of: isAllocated ? file : nil)
      var status = stat()
      #expect(unsafe fstat(file.descriptor.rawValue, &status) == 0)
      #expect(Int(status.st_blocks) * 512 == byteCount)
    }
  }

  @Test("where no thread can be made the caller populates all of it")
  func populatedWithoutThreads() async {
    await #expect(processExitsWith: .success) {
      precondition(ctest_refuse_threads(EAGAIN) == 0)
      for processors in [nil, try ProcessorSet.ofProcess()] {
        let file = try MemoryFile(name: "alone", byteCount: 8 << 20)
        let mapping = try file.map()
        try mapping.populate(threadCount: 4, on: processors)
        var status = stat()
        precondition(unsafe fstat(file.descriptor.rawValue, &status) == 0)
        precondition(Int(status.st_blocks) * 512 == 8 << 20)
      }
    }
  }

  @Test("processors that are not there do not keep a mapping from being populated")
  func populatedElsewhere() throws {
    let file = try MemoryFile(name: "elsewhere", byteCount: 8 << 20)
    let mapping = try file.map()
    try mapping.populate(threadCount: 4, on: ProcessorSet(processor: 8191))
    var status = stat()
    #expect(unsafe fstat(file.descriptor.rawValue, &status) == 0)
    #expect(Int(status.st_blocks) * 512 == 8 << 20)
  }

  @Test("when a thread's part cannot be populated, that is the error, and nothing is left behind")
  func populatingFails() async {
    await #expect(processExitsWith: .success) {
      let held = try ResourceCount.now()
      for (hole, isPinned) in [(0, false), (6 << 20, false), ((8 << 20) - 4096, true), (0, true)] {
        do {
          let file = try MemoryFile(name: "hole", byteCount: 8 << 20)
          let mapping = try file.map()
          // A page that may not be written to.
          let page = unsafe mapping.baseAddress + hole
          precondition(unsafe mprotect(page, 4096, PROT_READ) == 0)
          do throws(Errno) {
            try mapping.populate(
              threadCount: 4, on: isPinned ? ProcessorSet.ofProcess() : nil)
            fatalError("a page without rights was populated")
          } catch {
            precondition(error == .EINVAL || error == .EFAULT || error == .ENOMEM, "\(error)")
          }
        }
        let threads = try SystemFile.names(in: "/proc/self/task").count
        precondition(threads < 32)
        let now = try ResourceCount.now()
        precondition(now == held)
      }
    }
  }
}
