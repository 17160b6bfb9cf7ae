// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Testing

/// Every refusal of bind-rx and bind-tx that can be had without another vendor's card: its code,
/// its errno, and the kernel's words.
@Suite("devmem TCP: refused bindings", .onDevmemSim, .serialized) struct BindErrorTests {
  @Test("the loopback interface neither receives nor sends, and the error says what could")
  func loopback() throws {
    let loopback = try NetworkInterface(named: "lo")
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let nic = try SimulatedNIC()
    let receive = try #require(
      nic.error { () throws(DevmemError) in
        try NetdevBinding.receive(buffer, interface: loopback, queues: [0])
      })
    #expect(receive.code == .receiveUnsupported)
    #expect(receive.underlying == .EOPNOTSUPP)
    #expect(receive.interface == loopback.name)
    #expect(receive.remedy?.contains("netdev_queue_mgmt_ops") == true)
    #expect(receive.remedy?.contains("mlx5_core") == true)
    let transmit = try #require(
      nic.error { () throws(DevmemError) in
        try NetdevBinding.transmit(buffer, interface: loopback)
      })
    #expect(transmit.code == .transmitUnsupported)
    #expect(transmit.underlying == .EOPNOTSUPP)
    #expect(transmit.cause == "Driver does not support netmem TX")
  }

  @Test("without the split, and with a threshold, the queue stays as it is")
  func headerSplit() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let bind = { () throws(DevmemError) in
      try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
    }
    let off = try #require(nic.error(bind))
    #expect(off.code == .headerSplitDisabled)
    #expect(off.underlying == .EINVAL)
    #expect(off.cause == "tcp-data-split is disabled")
    #expect(off.remedy?.contains("devmemctl netdev setup dmsim0") == true)
    try nic.withHeaderSplit {
      var ethtool = try EthtoolFamily()
      try ethtool.setHeaderSplit(of: nic.interface, threshold: 64)
      let threshold = try #require(nic.error(bind))
      #expect(threshold.code == .headerSplitThreshold)
      #expect(threshold.underlying == .EINVAL)
      #expect(threshold.cause == "hds-thresh is not zero")
    }
  }

  @Test("a queue that is not there is named; none of the others is bound")
  func queues() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    try nic.withHeaderSplit {
      for queues in [[4000], [1, 4000], [4000, 1]] as [[UInt32]] {
        let error = try #require(
          nic.error { () throws(DevmemError) in
            try NetdevBinding.receive(buffer, interface: nic.interface, queues: queues)
          })
        #expect(error.code == .queueMissing)
        #expect(error.underlying == .EINVAL)
      }
      var family = try NetdevFamily()
      #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == nil)
    }
  }

  @Test("a queue is bound once; a refused second one lets the others go")
  func doubleBind() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let other = try DMABuf.udmabuf(byteCount: 1 << 20)
    try nic.withHeaderSplit {
      let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2])
      let error = try #require(
        nic.error { () throws(DevmemError) in
          try NetdevBinding.receive(other, interface: nic.interface, queues: [1, 2])
        })
      #expect(error.code == .queueBound)
      #expect(error.underlying == .EEXIST)
      #expect(error.cause == "designated queue already memory provider bound")
      var family = try NetdevFamily()
      #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == nil)
      #expect(try family.queue(.receive, 2, of: nic.interface).dmabufID == binding.id)
      binding.close()
    }
  }

  @Test("what is no dma-buf is not bound, to receive or to send")
  func memoryFile() throws {
    let nic = try SimulatedNIC()
    let file = try DMABuf.memoryFile(byteCount: 1 << 20)
    try nic.withHeaderSplit {
      let receive = try #require(
        nic.error { () throws(DevmemError) in
          try NetdevBinding.receive(file, interface: nic.interface, queues: [1])
        })
      #expect(receive.code == .notADMABuf)
      #expect(receive.underlying == .EINVAL)
    }
    let transmit = try #require(
      nic.error { () throws(DevmemError) in
        try NetdevBinding.transmit(file, interface: nic.interface)
      })
    #expect(transmit.code == .notADMABuf)
    var family = try NetdevFamily()
    let closed = try #require(
      nic.error { () throws(DevmemError) in
        try family.bindTransmit(1_000_000, interface: nic.interface)
      })
    #expect(closed.code == .notADMABuf)
    #expect(closed.underlying == .EBADF)
  }

  @Test("receive buffers are a power of two from the page size on")
  func pageSize() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20, pageSize: .huge2M)
    try nic.withHeaderSplit {
      for (size, errno) in [(2048, Errno.ERANGE), (12288, .EINVAL), (0, .ERANGE)] {
        let error = try #require(
          nic.error { () throws(DevmemError) in
            try NetdevBinding.receive(
              buffer, interface: nic.interface, queues: [1], rxPageByteCount: size)
          })
        #expect(error.code == .pageSizeUnsupported)
        #expect(error.underlying == errno)
      }
      try NetdevBinding.receive(
        buffer, interface: nic.interface, queues: [1], rxPageByteCount: 16384
      ).close()
    }
  }

  @Test("runs that are shorter than a receive buffer are refused, with the kernel's words")
  func misaligned() throws {
    let nic = try SimulatedNIC()
    let file = try MemoryFile(name: "holes", byteCount: 64 * 4096)
    try file.addSeals()
    // Every second page: no two are neighbours.
    let buffer = try DMABuf.udmabuf(
      scattering: (0..<32).map { .init(of: file, offset: $0 * 8192, byteCount: 4096) })
    try nic.withHeaderSplit {
      let error = try #require(
        nic.error { () throws(DevmemError) in
          try NetdevBinding.receive(
            buffer, interface: nic.interface, queues: [1], rxPageByteCount: 16384)
        })
      #expect(error.code == .bufferMisaligned)
      #expect(error.underlying == .EINVAL)
      #expect(error.cause?.contains("not aligned to niov") == true)
      try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1]).close()
    }
  }

  @Test("receiving takes CAP_NET_ADMIN, sending takes nothing")
  func unprivileged() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let nic = try SimulatedNIC()
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      try SystemProcess.setEffectiveUser(1000)
      do throws(DevmemError) {
        _ = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
      } catch {
        print(error.code, error.underlying?.name ?? "")
      }
      do throws(DevmemError) {
        _ = try NICSetup(nic.interface, queues: [1])
      } catch {
        print(error.code)
      }
      print(try NetdevBinding.transmit(buffer, interface: nic.interface).id > 0)
    }
    let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    #expect(output == "permissionDenied EPERM\npermissionDenied\ntrue\n")
  }

  @Test("a binding leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let nic = try SimulatedNIC()
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      try nic.withHeaderSplit {
        ForcedErrnos.printVerdict(with: [.EINTR, .EIO, .EMFILE, .EOPNOTSUPP]) {
          let receive = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
          let transmit = try NetdevBinding.transmit(buffer, interface: nic.interface)
          var family = try NetdevFamily()
          let queue = try family.queue(.receive, 1, of: nic.interface)
          if queue.dmabufID != receive.id || transmit.id == receive.id { throw Errno.EIO }
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
