// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct SystemFileTests {
  @Test("a file of /proc is read whole, also beyond one buffer")
  func text() throws {
    #expect(try SystemFile.text(at: "/proc/self/comm").hasSuffix("\n"))
    #expect(try SystemFile.text(at: "/proc/kallsyms").utf8.count > 4096)
  }

  @Test("the names of a directory come sorted, however many there are")
  func names() throws {
    let names = try SystemFile.names(in: "/proc/self")
    #expect(names.contains("fdinfo") && names.contains("pagemap"))
    #expect(names == names.sorted())
    #expect(!names.contains(".") && !names.contains(".."))
  }

  @Test("what is missing or no directory says so")
  func missing() {
    #expect(throws: Errno.ENOENT) { _ = try SystemFile.text(at: "/nowhere") }
    #expect(throws: Errno.ENOENT) { _ = try SystemFile.names(in: "/nowhere") }
    #expect(throws: Errno.ENOTDIR) { _ = try SystemFile.names(in: "/proc/self/comm") }
    #expect(SystemFile.obstacle(at: "/nowhere") == .ENOENT)
    #expect(SystemFile.obstacle(at: "/proc/self/comm") == nil)
  }

  @Test("the kernel release is what /proc says")
  func release() throws {
    let text = try SystemFile.text(at: "/proc/sys/kernel/osrelease")
    #expect(try SystemProcess.kernelRelease() + "\n" == text)
  }

  @Test("a descriptor that is no dma-buf says so")
  func noDMABuf() throws {
    let file = try MemoryFile(name: "plain", byteCount: 4096)
    let descriptor = DMABufDescriptor(try file.descriptor.duplicate())
    #expect(try descriptor.isDMABuf() == false)
    #expect(throws: Errno.ENOTTY) { try descriptor.beginCPUAccess(.read) }
    #expect(throws: Errno.ENAMETOOLONG) {
      try descriptor.setName(String(repeating: "n", count: 32))
    }
  }

  @Test("heap names that are paths are refused", arguments: ["", "..", "a/b", "/dev/null"])
  func heapNames(name: String) {
    #expect(throws: Errno.EINVAL) { _ = try DMAHeap(named: name) }
  }
}
