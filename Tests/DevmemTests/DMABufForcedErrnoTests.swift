// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

/// Every errno on every system call of the makers that need no device. The rest runs in the device
/// tier.
@Suite struct DMABufForcedErrnoTests {
  @Test("a bare memory file leaves nothing behind, whichever call fails")
  func memoryFile() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      ForcedErrnos.printVerdict(tolerates: { forced in
        // The free memory, where /proc may be missing.
        [.open, .read, .numaMemory].contains(forced.call)
      }) {
        let buffer = try DMABuf.memoryFile(
          byteCount: 8192, node: NUMANode.available()[0].rawValue, name: "forced")
        let claim = try MemoryRegistry.claim(for: buffer)
        let (left, right) = try UnixSocket.pair()
        try buffer.sendDescriptor(over: left)
        var message = try right.receive(byteLimit: 1, descriptorLimit: 1)
        let received = try DMABuf.importedMemoryFile(message.descriptors.popFirst()!)
        try received.withBytes(.write) { unsafe $0[0] = 1 }
        _ = try buffer.extents
        _ = consume claim
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("checking ranges leaves nothing behind, whichever call fails")
  func ranges() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      ForcedErrnos.printVerdict {
        let file = try MemoryFile(name: "forced", byteCount: 8192)
        try file.addSeals()
        // A failure of its own, at the last check: after every seal was read.
        do throws(DevmemError) {
          _ = try DMABuf.udmabuf(scattering: [.init(of: file), .init(of: file)])
        } catch {
          if error.code != .overlappingRanges { throw error }
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
