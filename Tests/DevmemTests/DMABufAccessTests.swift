// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@Suite struct DMABufAccessTests {
  private struct BodyError: Error {}

  @Test("a bracket is open for its directions during the body and closed after it")
  func opens() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    try buffer.withCPUAccess(.read) {
      #expect(buffer.isCPUAccessOpen(for: .read))
      #expect(!buffer.isCPUAccessOpen(for: .write))
      #expect(!buffer.isCPUAccessOpen(for: .readWrite))
    }
    try buffer.withCPUAccess(.readWrite) {
      #expect(buffer.isCPUAccessOpen(for: .readWrite))
    }
    #expect(!buffer.isCPUAccessOpen(for: .read))
    #expect(!buffer.isCPUAccessOpen(for: .write))
  }

  @Test("a body that throws closes its bracket, and its error comes through")
  func throwing() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    #expect(throws: BodyError.self) {
      try buffer.withCPUAccess(.write) { throw BodyError() }
    }
    #expect(!buffer.isCPUAccessOpen(for: .write))
  }

  @Test("all bytes as a span, in a bracket for reading that ends with the call")
  func span() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    try buffer.withBytes(.write) { bytes in
      unsafe bytes.storeBytes(of: 42, toByteOffset: 8184, as: UInt64.self)
    }
    let value = try buffer.withBytes { bytes in
      #expect(bytes.byteCount == 8192)
      #expect(buffer.isCPUAccessOpen(for: .read))
      #expect(!buffer.isCPUAccessOpen(for: .write))
      return bytes.integer(at: 8184, as: UInt64.self)
    }
    #expect(value == 42)
    #expect(!buffer.isCPUAccessOpen(for: .read))
    #expect(throws: BodyError.self) { try buffer.withBytes { _ in throw BodyError() } }
    #expect(!buffer.isCPUAccessOpen(for: .read))
  }

  @Test("an inner bracket ends without ending the outer one")
  func nests() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    try buffer.withCPUAccess(.read) {
      try buffer.withCPUAccess(.readWrite) {}
      #expect(buffer.isCPUAccessOpen(for: .read))
      #expect(!buffer.isCPUAccessOpen(for: .write))
    }
  }

  @Test("a body returns its value, and bytes last")
  func returns() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    try buffer.withBytes(.write) { unsafe $0[9] = 4 }
    #expect(try buffer.withBytes(.read) { unsafe $0[9] } == 4)
  }

  @Test("brackets of many threads are all counted and all closed")
  func threads() async throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<1000 {
            try buffer.withCPUAccess(.readWrite) {
              guard buffer.isCPUAccessOpen(for: .readWrite) else { throw BodyError() }
            }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(!buffer.isCPUAccessOpen(for: .read))
    #expect(!buffer.isCPUAccessOpen(for: .write))
  }

  @Test("access without a direction traps")
  func noDirection() async {
    await #expect(processExitsWith: .failure) {
      try DMABuf.memoryFile(byteCount: 4096).withCPUAccess([]) {}
    }
  }
}
