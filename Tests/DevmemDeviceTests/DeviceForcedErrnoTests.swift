// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

/// Every errno on every system call of every maker, on the real devices: the right error, and as
/// many descriptors, mapped bytes and claims as before.
@Suite("Forced errnos on the real devices", .serialized) struct DeviceForcedErrnoTests {
  @Test("making a udmabuf, and all that is done with it")
  func udmabuf() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        // The driver's limits, those of memory and the page map, where /sys or /proc may be
        // missing: the kernel then checks by itself.
        case (.open, 2...), (.read, _), (.numaMemory, _): true
        default: false
        }
      }) {
        let buffer = try DMABuf.udmabuf(byteCount: 65536, node: 0, name: "forced")
        _ = try buffer.extents
        let claim = try MemoryRegistry.claim(for: buffer)
        try buffer.withBytes(.readWrite) { unsafe $0[0] = 1 }
        let (left, right) = try UnixSocket.pair()
        try buffer.sendDescriptor(over: left)
        var message = try right.receive(byteLimit: 1, descriptorLimit: 1)
        _ = message.descriptors.popFirst()
        _ = consume claim
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("making several udmabufs")
  func udmabufs() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      let old = try setUDMABufParameter("size_limit_mb", 1)
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        // The free memory; the limits have to be known here.
        case (.open, 4...), (.read, 5...): true
        default: false
        }
      }) {
        let buffers = try DMABuf.udmabufs(byteCount: 3 << 19)
        guard buffers.count == 2 else { throw DevmemError(.systemCall, "two buffers") }
      }
      _ = try setUDMABufParameter("size_limit_mb", old)
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("making a scattered udmabuf")
  func scattered() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        case (.open, 2...), (.read, _): true
        default: false
        }
      }) {
        let file = try MemoryFile(name: "forced", byteCount: 16 * 4096)
        try file.addSeals()
        _ = try DMABuf.udmabuf(
          scattering: [
            .init(of: file, offset: 0, byteCount: 8192),
            .init(of: file, offset: 8 * 4096, byteCount: 8192),
          ], name: "forced")
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("without /proc an import is of an exporter without a name, and a memory file is none")
  func importedWithoutProc() throws {
    let original = try DMABuf.udmabuf(byteCount: 65536)
    let file = try DMABuf.memoryFile(byteCount: 65536)
    try SystemCallSeam.forcing(.ENOENT, on: .open, times: 2) { () throws in
      let buffer = try DMABuf.imported(original.duplicateDescriptor())
      #expect(buffer.exporter == .imported(exporterName: "unknown"))
      #expect(buffer.byteCount == 65536)
      #expect(buffer.cpuMapping != nil)
      do throws(DevmemError) {
        _ = try DMABuf.imported(file.duplicateDescriptor())
        Issue.record("a memory file is taken for a dma-buf")
      } catch {
        #expect(error.code == .notADMABuf)
      }
    }
  }

  @Test("importing a dma-buf; without a mapping it has no CPU mapping")
  func imported() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      let original = try DMABuf.udmabuf(byteCount: 65536)
      ForcedErrnos.printVerdict(tolerates: { forced in
        // Without /proc the kernel itself is asked what it is.
        if [.open, .read].contains(forced.call) && forced.errno == .ENOENT { return true }
        return forced.call == .mapFile && ![.ENOMEM, .EAGAIN, .ENFILE].contains(forced.errno)
      }) {
        let buffer = try DMABuf.imported(original.duplicateDescriptor())
        if let mapping = buffer.cpuMapping, mapping.isWritable {
          try buffer.withBytes(.write) { unsafe $0[0] = 1 }
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("allocating from a heap")
  func heap() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        case (.mapFile, _): ![.ENOMEM, .EAGAIN, .ENFILE].contains(forced.errno)
        // The free memory.
        case (.open, 2...), (.read, _): true
        default: false
        }
      }) {
        _ = try DMABuf.dmaHeap(byteCount: 65536)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("making a dumb buffer, and importing into a card")
  func drm() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      let original = try DMABuf.udmabuf(byteCount: 65536)
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.occurrence) {
        // The first mapping is the dma-buf's own, which an exporter need not have.
        case (.mapFile, 1): ![.ENOMEM, .EAGAIN, .ENFILE].contains(forced.errno)
        // The free memory.
        case (.open, 2...), (.read, _): true
        default: false
        }
      }) {
        _ = try DMABuf.drmDumb(byteCount: 65536)
        // No cards is an answer too, and the one that ENOENT leads to.
        guard let path = try DRMDevice.cards().first else { throw Errno.ENOENT }
        let card = try DRMDevice(path: path)
        let handle = try card.importBuffer(DMABufDescriptor(original.duplicateDescriptor()))
        _ = try handle.export()
        _ = try card.createDumbBuffer(byteCount: 4096).map()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("sync files and AF_XDP memory")
  func others() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      let buffer = try DMABuf.udmabuf(byteCount: 65536)
      ForcedErrnos.printVerdict {
        let descriptor = DMABufDescriptor(try buffer.duplicateDescriptor())
        let fence = try descriptor.exportSyncFile(.read)
        _ = try fence.status()
        try descriptor.importSyncFile(fence, .read)
        try descriptor.setName("forced")
        _ = try unsafe XDPMemory(registering: buffer.cpuMapping!.baseAddress, byteCount: 65536)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
