// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// vgem: PRIME import and export, and dumb buffers.
@Suite("DRM through libdrm", .serialized) struct DRMTests {
  private func vgem() throws -> DRMDevice {
    let cards = try DRMDevice.cards()
    for path in cards {
      let card = try DRMDevice(path: path)
      if card.driverName == "vgem" { return card }
    }
    throw DevmemError(.exporterMissing, "looking for vgem in \(cards): modprobe vgem")
  }

  @Test("a udmabuf that vgem has imported is the same dma-buf with the same bytes")
  func imports() throws {
    let card = try vgem()
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20)
    try buffer.fill(Pattern(1))
    let handle = try card.importBuffer(DMABufDescriptor(buffer.duplicateDescriptor()))
    #expect(handle.byteCount == 4 << 20)
    let seen = try DMABuf.imported(handle.export().takeDescriptor())
    #expect(seen.identity == buffer.identity)
    #expect(try seen.mismatchedPageCount(Pattern(1)) == 0)
    // And back: what is written there is read here.
    try seen.fill(Pattern(2))
    #expect(try buffer.mismatchedPageCount(Pattern(2)) == 0)
  }

  @Test("importing twice gives one handle, which lives until both holders have ended")
  func importsTwice() throws {
    let card = try vgem()
    let buffer = try DMABuf.udmabuf(byteCount: 65536)
    let first = try card.importBuffer(DMABufDescriptor(buffer.duplicateDescriptor()))
    do {
      let second = try card.importBuffer(DMABufDescriptor(buffer.duplicateDescriptor()))
      #expect(second.handle == first.handle)
      #expect(card.openHandleCount == 1)
    }
    #expect(card.openHandleCount == 1)
    let identity = try first.export().identity()
    #expect(identity == buffer.identity)
  }

  @Test("a handle ends with its last holder")
  func closes() throws {
    let card = try vgem()
    do {
      let buffer = try card.createDumbBuffer(byteCount: 4096)
      #expect(card.openHandleCount == 1)
      #expect(buffer.handle != 0)
    }
    #expect(card.openHandleCount == 0)
  }

  @Test("a dumb buffer shows the same bytes through its card and through its dma-buf")
  func dumb() throws {
    let card = try vgem()
    #expect(try card.hasDumbBuffers())
    let dumb = try card.createDumbBuffer(byteCount: 1 << 20)
    #expect(dumb.byteCount == 1 << 20)
    try dumb.map().withBytes { unsafe Pattern(5).fill($0) }
    let buffer = try DMABuf.imported(dumb.export().takeDescriptor())
    #expect(buffer.byteCount == 1 << 20)
    #expect(try buffer.mismatchedPageCount(Pattern(5)) == 0)
  }

  @Test("the maker of dumb buffers gives a dma-buf that outlives card and handle")
  func maker() throws {
    let buffer = try DMABuf.drmDumb(byteCount: 1 << 20, card: vgem().path)
    #expect(buffer.exporter == .drm(driver: "vgem"))
    #expect(buffer.byteCount == 1 << 20)
    try buffer.fill(Pattern(6))
    #expect(try buffer.asImported().mismatchedPageCount(Pattern(6)) == 0)
    #expect(try buffer.extents == [DMABufExtent(offset: 0, byteCount: 1 << 20, address: nil)])
    #expect(throws: Never.self) { _ = try DMABuf.drmDumb(byteCount: 4096) }
  }

  @Test("what is no dma-buf is not imported, what is no card is not opened")
  func refusals() throws {
    let card = try vgem()
    let file = try MemoryFile(name: "plain", byteCount: 4096)
    #expect(throws: Errno.EINVAL) {
      _ = try card.importBuffer(DMABufDescriptor(file.descriptor.duplicate()))
    }
    #expect(card.openHandleCount == 0)
    #expect(throws: Errno.ENOTTY) { _ = try DRMDevice(path: "/dev/null") }
    #expect(throws: Errno.ENOENT) { _ = try DRMDevice(path: "/dev/dri/card99") }
  }
}
