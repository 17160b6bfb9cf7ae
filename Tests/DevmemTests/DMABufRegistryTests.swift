// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Synchronization
import Testing

@Suite struct DMABufRegistryTests {
  private func isBound(_ buffer: DMABuf) -> Bool {
    do {
      _ = try MemoryRegistry.claim(for: buffer)
      return false
    } catch {
      return error.code == .alreadyBound
    }
  }

  @Test("memory is claimed once until the claim ends")
  func once() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    do {
      let claim = try MemoryRegistry.claim(for: buffer)
      #expect(isBound(buffer))
      _ = consume claim
    }
    #expect(!isBound(buffer))
  }

  @Test("the same file through another descriptor is the same memory")
  func sameFile() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    let other = try DMABuf.importedMemoryFile(buffer.duplicateDescriptor())
    let claim = try MemoryRegistry.claim(for: buffer)
    #expect(isBound(other))
    _ = consume claim
    #expect(!isBound(other))
  }

  @Test("different memory is claimed side by side")
  func sideBySide() throws {
    let first = try DMABuf.memoryFile(byteCount: 8192)
    let second = try DMABuf.memoryFile(byteCount: 8192)
    let claim = try MemoryRegistry.claim(for: first)
    #expect(!isBound(second))
    _ = consume claim
  }

  @Test("of many threads that claim the same memory one holds it at a time")
  func race() async throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    let holders = Holders()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<2000 {
            guard let claim = try? MemoryRegistry.claim(for: buffer) else { continue }
            holders.enter()
            holders.leave()
            _ = consume claim
          }
        }
      }
    }
    #expect(holders.mostAtOnce == 1)
    #expect(!isBound(buffer))
  }
}

/// How many held a claim at the same time at most.
private final class Holders: Sendable {
  private let state = Mutex((now: 0, most: 0))

  func enter() {
    state.withLock {
      $0.now += 1
      $0.most = max($0.most, $0.now)
    }
  }

  func leave() { state.withLock { $0.now -= 1 } }

  var mostAtOnce: Int { state.withLock { $0.most } }
}
