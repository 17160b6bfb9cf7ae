// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

/// What a dma-buf does while a driver has fences on it, line by line.
@Suite("Fences of vgem on a udmabuf", .serialized) struct VGEMFenceTests {
  private let vgem: VGEMFences
  private let buffer: DMABuf

  init() throws {
    vgem = try VGEMFences()
    buffer = try DMABuf.udmabuf(byteCount: 65536)
  }

  private func code(_ body: () throws -> Void) -> FenceError.Code? {
    #expect(throws: FenceError.self, performing: body)?.code
  }

  private func milliseconds(_ body: () throws -> Void) rethrows -> Int {
    let duration = try ContinuousClock().measure(body)
    return Int(duration / .milliseconds(1))
  }

  @Test("a writer is in the way of readers and writers, until it signals")
  func writer() throws {
    #expect(try buffer.isReady(for: .read) && buffer.isReady(for: .write))
    let fence = try vgem.attach(to: buffer, as: .write)
    #expect(try !buffer.isReady(for: .read))
    #expect(try !buffer.isReady(for: .write))
    #expect(code { try buffer.waitUntilReady(for: .read, waitingAtMost: .zero) } == .timedOut)
    // A second one has to wait for the first.
    #expect(throws: Errno.EBUSY) { try vgem.attach(to: buffer, as: .read) }
    try vgem.signal(fence)
    #expect(try buffer.isReady(for: .read) && buffer.isReady(for: .write))
    try buffer.waitUntilReady(for: .readWrite, waitingAtMost: .zero)
  }

  @Test("a reader is in the way of writers alone")
  func reader() throws {
    let fence = try vgem.attach(to: buffer, as: .read)
    #expect(try buffer.isReady(for: .read))
    #expect(try !buffer.isReady(for: .write))
    #expect(try buffer.fence(for: .read).status == .signalled)
    #expect(try buffer.fence(for: .write).status == .pending)
    try vgem.signal(fence)
    #expect(try buffer.isReady(for: .write))
    #expect(throws: Errno.ENOENT) { try vgem.signal(fence) }
  }

  @Test("a wait with a limit lasts as long as the fence, or as the limit")
  func limits() throws {
    let fence = try vgem.attach(to: buffer, as: .write)
    let late = milliseconds {
      #expect(
        code { try buffer.waitUntilReady(for: .read, waitingAtMost: .milliseconds(50)) }
          == .timedOut)
    }
    #expect(late >= 50)
    let thread = try vgem.signal(fence, after: 200)
    let waited = try milliseconds { try buffer.waitUntilReady(for: .read) }
    #expect(waited >= 100)
    _ = consume thread
  }

  @Test("the bracket of a CPU mapping waits; a store without one does not")
  func brackets() throws {
    #expect(buffer.cpuMapping?.source == .memoryFile)
    try buffer.fill(Pattern(1))
    let fence = try vgem.attach(to: buffer, as: .write)
    let store = milliseconds {
      unsafe buffer.cpuMapping!.baseAddress.storeBytes(of: 42, as: UInt8.self)
    }
    #expect(store < 150)
    #expect(try !buffer.isReady(for: .read))
    let thread = try vgem.signal(fence, after: 300)
    let waited = try milliseconds {
      try buffer.withBytes { #expect($0.byteOffsets.count == 65536) }
    }
    #expect(waited >= 150)
    _ = consume thread
    // So does one whose first bracket lies behind, for writing, and after a reader.
    let reading = try vgem.attach(to: buffer, as: .read)
    let second = try vgem.signal(reading, after: 300)
    let readable = try milliseconds { try buffer.withCPUAccess(.read) {} }
    #expect(readable < 150)
    #expect(try milliseconds { try buffer.withCPUAccess(.write) {} } >= 100)
    _ = consume second
  }

  @Test("a fence that was taken out of one dma-buf makes another one busy")
  func exchange() throws {
    let other = try DMABuf.udmabuf(byteCount: 4096)
    let number = try vgem.attach(to: buffer, as: .write)
    let fence = try buffer.fence(for: .read)
    #expect(try fence.status == .pending)
    #expect(code { try fence.wait(waitingAtMost: .milliseconds(20)) } == .timedOut)
    try other.add(fence, as: .read)
    #expect(try other.isReady(for: .read) && !other.isReady(for: .write))
    try other.add(fence, as: .write)
    #expect(try !other.isReady(for: .read))
    try vgem.signal(number)
    #expect(try fence.status == .signalled)
    try fence.wait()
    #expect(try other.isReady(for: .write))
    // One out of an idle buffer has signalled already.
    #expect(try other.fence(for: .write).status == .signalled)
  }

  @Test("vgem ends a fence that nobody ends after ten seconds")
  func neverSignalled() async throws {
    let watch = try FenceWatch()
    _ = try vgem.attach(to: buffer, as: .write)
    let start = ContinuousClock.now
    try await buffer.waitUntilReady(for: .write, on: watch, waitingAtMost: .seconds(60))
    #expect(start.duration(to: .now) > .seconds(8))
  }

  @Test("a fence ends with the process that made it")
  func processGone() throws {
    let fence: Fence
    do {
      let mortal = try VGEMFences()
      _ = try mortal.attach(to: buffer, as: .write)
      fence = try buffer.fence(for: .read)
      #expect(try fence.status == .pending)
    }
    try fence.wait(waitingAtMost: .seconds(5))
    #expect(try buffer.isReady(for: .write))
  }
}
