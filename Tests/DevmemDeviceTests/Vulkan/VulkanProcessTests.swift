// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import DevmemVulkan
import Glibc
import Testing

/// Devices of several processes over one dma-buf.
@Suite("Vulkan in several processes", .onDevmemSim, .serialized) struct VulkanProcessTests {
  private func words(_ fragment: VulkanFragment) -> [UInt32] {
    [UInt32(fragment.offset), UInt32(fragment.byteCount)]
  }

  @Test("two importers at once, one of them killed while its device reads: the other goes on")
  func importers() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 256 << 10)
    try buffer.withBytes(.write) { bytes in
      for offset in 0..<bytes.count { unsafe bytes[offset] = UInt8(offset % 251) }
    }
    func sum(_ fragment: VulkanFragment) throws -> UInt32 {
      try buffer.withBytes(.read) { bytes in
        (fragment.offset..<fragment.offset + fragment.byteCount).reduce(0) {
          unsafe $0 &+ UInt32(bytes[$1])
        }
      }
    }
    let pool = try SharedPagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    let one = try DeviceProcess("importer", with: buffer)
    let two = try DeviceProcess("importer", with: buffer)
    let odd = VulkanFragment(offset: 4097, byteCount: 7001)
    for process in [one, two, one] {
      try process.socket.send(words: words(odd))
      #expect(try process.socket.receiveWords(limit: 1) == [sum(odd)])
    }
    // Again and again, all of it.
    try one.socket.send(words: [0, 0])
    #expect(try one.socket.receiveWords(limit: 1) == [0])
    one.kill()
    #expect(try one.wait().status == 128 + SIGKILL)
    try two.socket.send(words: words(odd))
    #expect(try two.socket.receiveWords(limit: 1) == [sum(odd)])
    // No fence of it stays, and no buffer is missing.
    try buffer.waitUntilReady(for: .write, waitingAtMost: .seconds(60))
    do {
      let all = pool.allocateBatch(64)
      #expect(all.count == 64)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("the process that allocated the memory has gone: it is carved, read and written here")
  func exporterGone() throws {
    let exporter = try DeviceProcess("exporter")
    let buffer = try DMABuf.imported(exporter.socket.receiveDescriptor())
    exporter.kill()
    _ = try exporter.wait()
    let shared = try SharedVulkan.one()
    let memory = try VulkanMemory(importing: buffer, into: shared.device)
    let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
    #expect(carving.iovCount == 64)
    let fragments = [0, 4096 * 7 + 3].map { VulkanFragment(offset: $0, byteCount: 251 * 4) }
    #expect(
      try VulkanJob(shared.shader(.sum), over: fragments, of: memory).results()
        == Array(repeating: 4 * 250 * 251 / 2, count: 2))
    try buffer.withBytes(.write) { unsafe $0[0] = 9 }
    #expect(
      try VulkanJob(
        shared.shader(.sum), over: [VulkanFragment(offset: 0, byteCount: 1)], of: memory
      ).results() == [9])
  }

  @Test("bound, carved and imported at once: an import claims nothing, the others keep theirs")
  func claims() throws {
    let nic = try SimulatedNIC()
    let shared = try SharedVulkan.one()
    let buffer = try DMABuf.udmabuf(byteCount: 256 << 10)
    let memory = try VulkanMemory(importing: buffer, into: shared.device)
    func isWorking() throws -> Bool {
      try VulkanJob(
        shared.shader(.sum), over: [VulkanFragment(offset: 1, byteCount: 4095)], of: memory
      ).results() == [0]
    }
    func code(_ body: () throws(DevmemError) -> Void) -> DevmemError.Code? {
      nic.error { () throws(DevmemError) in try body() }?.code
    }
    try nic.withHeaderSplit {
      // Received into by a card: nobody carves it, whoever reads it.
      let receive = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
      #expect(code { () throws(DevmemError) in _ = try DMABufCarving(buffer) } == .alreadyBound)
      #expect(try isWorking())
      _ = try VulkanMemory(importing: buffer, into: shared.device)
      receive.close()
      // Carved for sending: nobody else carves it, and no card receives into it.
      let transmit = try NetdevBinding.transmit(buffer, interface: nic.interface)
      let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
      let pool = try PagePool(provider: DMABufMemoryProvider(carving))
      let netmem = try pool.take()
      #expect(try isWorking())
      #expect(code { () throws(DevmemError) in _ = try DMABufCarving(buffer) } == .alreadyBound)
      #expect(
        code { () throws(DevmemError) in
          _ = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [3])
        } == .memoryInUse)
      #expect(netmem.referenceCount == 1)
      transmit.close()
    }
    #expect(try isWorking())
    // The pool, the carving and the bindings have gone; the import has not.
    _ = try DMABufCarving(buffer)
  }
}
