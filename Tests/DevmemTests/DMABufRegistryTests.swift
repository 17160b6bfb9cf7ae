// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Synchronization
import Testing

@testable import Devmem

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

  /// A buffer as its maker or an import would assemble it, but of no dma-buf: inode numbers are
  /// made up.
  private func madeUp(
    _ exporter: DMABuf.Exporter, inode: UInt64, over file: MemoryFile
  ) -> DMABuf {
    DMABuf(
      exporter: exporter, byteCount: file.byteCount,
      identity: FileIdentity(device: .max, inode: inode), name: nil, pageSize: nil,
      requestedNode: nil, descriptor: nil, memoryFile: file,
      memoryRanges: exporter == .udmabuf ? [DMABuf.MemoryRange(of: file)] : [], mapping: nil,
      mappingSource: .dmaBuf)
  }

  @Test("an import of a dma-buf made here is known to lie over the same file, alive or gone")
  func importedOwn() throws {
    let file = try MemoryFile(name: "both", byteCount: 8192)
    let first = madeUp(.udmabuf, inode: 1, over: file)
    var second: DMABuf? = madeUp(.udmabuf, inode: 2, over: file)
    let claim = try MemoryRegistry.claim(for: first)
    let imported = DMABuf.Exporter.imported(exporterName: "udmabuf")
    // Alive, and no descriptor given out: it came some other way.
    #expect(isBound(madeUp(imported, inode: 2, over: file)))
    // Given out, and the buffer gone.
    second = nil
    #expect(isBound(madeUp(imported, inode: 2, over: file)))
    let (near, far) = try UnixSocket.pair()
    for (inode, giveOut) in [
      (3, { _ = try $0.duplicateDescriptor() }), (4, { $0.withDescriptor { _ in } }),
      (5, { try $0.sendDescriptor(over: near) }),
    ] as [(UInt64, (DMABuf) throws -> Void)] {
      second = madeUp(.udmabuf, inode: inode, over: file)
      try giveOut(#require(second))
      second = nil
      let back = madeUp(imported, inode: inode, over: file)
      #expect(isBound(back), "\(inode)")
    }
    _ = try far.receive(byteLimit: 1, descriptorLimit: 1)
    // Nothing is kept of one that never left, nor known of another's.
    second = madeUp(.udmabuf, inode: 6, over: file)
    second = nil
    #expect(!isBound(madeUp(imported, inode: 6, over: file)))
    #expect(!isBound(madeUp(imported, inode: 7, over: file)))
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
