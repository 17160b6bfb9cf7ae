// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// The ideas of the kernel's tools/testing/selftests/dmabuf-heaps through our API.
@Suite("dma-buf heaps", .serialized) struct DMAHeapTests {
  @Test("the system heap is there, and its buffers are zero and readable on both sides")
  func system() throws {
    #expect(try DMAHeap.names().contains("system"))
    let buffer = try DMABuf.dmaHeap(byteCount: 1 << 20)
    #expect(buffer.exporter == .dmaHeap("system"))
    #expect(buffer.byteCount == 1 << 20)
    #expect(buffer.cpuMapping?.source == .dmaBuf)
    #expect(try buffer.withBytes(.read) { unsafe $0.allSatisfy { $0 == 0 } })
    try buffer.fill(Pattern(1))
    let other = try buffer.asImported()
    #expect(other.exporter == .imported(exporterName: "system"))
    #expect(other.identity == buffer.identity)
    #expect(try other.mismatchedPageCount(Pattern(1)) == 0)
  }

  @Test("memory that comes back is zero again", arguments: [4096, 1 << 20])
  func zeroed(byteCount: Int) throws {
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 8)
    unsafe memset(zeros.baseAddress!, 0, byteCount)
    defer { unsafe zeros.deallocate() }
    var buffers: [DMABuf] = []
    for _ in 0..<32 {
      let buffer = try DMABuf.dmaHeap(byteCount: byteCount)
      try buffer.withBytes(.write) { unsafe _ = memset($0.baseAddress!, 0xff, byteCount) }
      buffers.append(buffer)
    }
    buffers.removeAll()
    for _ in 0..<32 {
      let buffer = try DMABuf.dmaHeap(byteCount: byteCount)
      let isZero = try buffer.withBytes(.read) {
        unsafe memcmp($0.baseAddress!, zeros.baseAddress!, byteCount) == 0
      }
      #expect(isZero)
      buffers.append(buffer)
    }
  }

  @Test("more than there is memory is refused before the kernel runs out, and leaves no descriptor")
  func noLeak() async {
    await #expect(processExitsWith: .success) {
      let held = try ResourceCount.now()
      for byteCount in [1 << 46, Int.max & ~4095] {
        do throws(DevmemError) {
          _ = try DMABuf.dmaHeap(byteCount: byteCount)
          fatalError("\(byteCount) bytes were allocated")
        } catch {
          precondition(error.code == .outOfMemory && error.underlying == nil, "\(error)")
        }
      }
      let now = try ResourceCount.now()
      precondition(now == held, "\(held), then \(now)")
    }
  }

  @Test("a heap that is not there names those that are")
  func missing() {
    let error = #expect(throws: DevmemError.self) {
      _ = try DMABuf.dmaHeap(named: "nowhere", byteCount: 4096)
    }
    #expect(error?.code == .exporterMissing && error?.underlying == .ENOENT)
    #expect(error?.remedy?.contains("system") == true)
  }
}
