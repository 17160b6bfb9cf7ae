// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc
import Testing

/// What a buffer shows without any device: its maker with no exporter.
@Suite struct DMABufMemoryFileTests {
  @Test("a bare memory file says that it is not exported")
  func saysSo() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20, name: "bare")
    #expect(buffer.isExported == false)
    #expect(buffer.exporter == .memoryFile)
    #expect("\(buffer.exporter)" == "memory-file")
    #expect(buffer.byteCount == 1 << 20)
    #expect(buffer.name == "bare")
    #expect(buffer.pageSize == .base4K)
    #expect(buffer.inode == buffer.identity.inode)
  }

  @Test("its CPU mapping is the memory file's mapping, writable to the last byte and pinnable")
  func mapping() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 64 << 10)
    let mapping = try #require(buffer.cpuMapping)
    #expect(mapping.source == .memoryFile)
    #expect(mapping.byteCount == 64 << 10)
    try buffer.withBytes(.readWrite) { bytes in
      unsafe bytes[bytes.count - 1] = 77
      #expect(unsafe bytes[bytes.count - 1] == 77)
    }
    let again = try MemoryFile(adopting: buffer.duplicateDescriptor()).map()
    #expect(unsafe again.bytes[(64 << 10) - 1] == 77)
  }

  @Test("its file is sealed: the size and the seals stay")
  func sealed() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    let number = try #require(buffer.memoryFileDescriptor)
    #expect(ftruncate(number, 4096) == -1)
    #expect(ftruncate(number, 16384) == -1)
    let file = try MemoryFile(adopting: buffer.duplicateDescriptor())
    #expect(try file.seals().isSuperset(of: .deviceMemory))
  }

  @Test("without pinned pages there is one extent and no address")
  func extents() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    #expect(try buffer.extents == [DMABufExtent(offset: 0, byteCount: 1 << 20, address: nil)])
  }

  @Test("pages come from the node that was asked for")
  func node() throws {
    let node = NUMANode.available().last!
    let buffer = try DMABuf.memoryFile(byteCount: 64 << 10, node: node.rawValue)
    #expect(buffer.requestedNode == node.rawValue)
    guard NUMANode.isSupported else { return }
    let mapping = try #require(buffer.cpuMapping)
    for page in 0..<16 {
      #expect(try unsafe NUMANode.node(of: mapping.baseAddress + page * 4096) == node)
    }
  }

  @Test("another process gets the file, and sees the same bytes")
  func sends() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    let (left, right) = try UnixSocket.pair(kind: .stream)
    try buffer.sendDescriptor(over: left, message: [1, 2, 3])
    var message = try right.receive(byteLimit: 16, descriptorLimit: 1)
    #expect(message.bytes == [1, 2, 3])
    let received = try DMABuf.importedMemoryFile(message.descriptors.popFirst()!)
    #expect(received.identity == buffer.identity)
    #expect(received.isExported == false)
    try buffer.withBytes(.write) {
      unsafe $0.storeBytes(of: 0xfeed, toByteOffset: 5000, as: Int.self)
    }
    let seen = try received.withBytes(.read) {
      unsafe $0.loadUnaligned(fromByteOffset: 5000, as: Int.self)
    }
    #expect(seen == 0xfeed)
  }

  @Test("the borrowed descriptor is the buffer's own")
  func borrows() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    #expect(buffer.withDescriptor { $0 } == buffer.memoryFileDescriptor)
  }
}
