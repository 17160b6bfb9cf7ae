// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Another process that got nothing but the descriptor; and the registry.
@Suite("Passing the descriptor on", .serialized) struct DescriptorPassingTests {
  @Test("another process reads what we wrote and writes what we read")
  func otherProcess() async throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20, name: "passed")
    try buffer.fill(Pattern(11))
    let listener = try UnixSocket.listen(path: "@devmem-passing-\(getpid())")
    let server = Task.detached {
      let connection = try listener.accept()
      try buffer.sendDescriptor(over: connection, message: [1, 2, 3, 4])
      return try connection.receive(byteLimit: 16).bytes
    }
    await #expect(processExitsWith: .success) {
      let socket = try UnixSocket.connect(path: "@devmem-passing-\(getppid())")
      var message = try socket.receive(byteLimit: 16, descriptorLimit: 1)
      precondition(message.bytes == [1, 2, 3, 4])
      let imported = try DMABuf.imported(message.descriptors.popFirst()!)
      precondition(imported.byteCount == 1 << 20)
      precondition(imported.name == "passed")
      let mismatches = try imported.mismatchedPageCount(Pattern(11))
      precondition(mismatches == 0)
      try imported.fill(Pattern(12))
      try socket.send([42])
    }
    let answer = try await server.value
    #expect(answer == [42])
    #expect(try buffer.mismatchedPageCount(Pattern(12)) == 0)
  }

  private func isBound(_ buffer: DMABuf) -> Bool {
    do {
      _ = try MemoryRegistry.claim(for: buffer)
      return false
    } catch {
      return error.code == .alreadyBound
    }
  }

  @Test("a dma-buf is bound once, through whichever descriptor it came")
  func boundOnce() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 65536)
    let imported = try buffer.asImported()
    let claim = try MemoryRegistry.claim(for: buffer)
    #expect(isBound(imported))
    #expect(isBound(buffer))
    _ = consume claim
    #expect(!isBound(imported))
  }

  @Test("an import of one's own dma-buf is refused while another one over the same file is bound")
  func importedOwn() throws {
    let file = try MemoryFile(name: "both", byteCount: 1 << 20)
    try file.addSeals()
    let one = try DMABuf.udmabuf(scattering: [.init(of: file)])
    let claim = try MemoryRegistry.claim(for: one)
    var two: DMABuf? = try DMABuf.udmabuf(scattering: [.init(of: file)])
    let again = try DMABuf.imported(#require(two).duplicateDescriptor())
    #expect(isBound(again))
    two = nil
    #expect(isBound(again))
    _ = consume claim
    #expect(!isBound(again))
  }

  @Test("two dma-bufs over shared bytes of one file are not bound together, side by side they are")
  func overlappingRanges() throws {
    let file = try MemoryFile(name: "shared", byteCount: 8 * 4096)
    try file.addSeals()
    func buffer(_ offset: Int, _ byteCount: Int) throws -> DMABuf {
      try DMABuf.udmabuf(
        scattering: [.init(of: file, offset: offset * 4096, byteCount: byteCount * 4096)])
    }
    let first = try buffer(0, 4)
    let claim = try MemoryRegistry.claim(for: first)
    #expect(try isBound(buffer(3, 2)))
    #expect(try isBound(buffer(0, 1)))
    #expect(try isBound(buffer(0, 8)))
    #expect(try !isBound(buffer(4, 4)))
    _ = consume claim
  }
}
