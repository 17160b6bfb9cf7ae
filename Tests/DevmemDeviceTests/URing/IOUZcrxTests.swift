// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// The kernel's selftest client of zero-copy receive
/// (tools/testing/selftests/drivers/net/hw/iou-zcrx.c), unmodified, on our software NIC: that it
/// receives what we send, and we what it sends.
@Suite("The kernel's iou-zcrx on devmemsim", .onDevmemSim, .serialized) struct IOUZcrxTests {
  /// What it sends and expects: a, b, … z, again and again. At most 2 MiB.
  private static func byte(at offset: Int) -> UInt8 { UInt8(ascii: "a") + UInt8(offset % 26) }

  private static func start(
    at end: DevmemSim.End, _ arguments: [String]
  ) throws -> ToolProcess {
    let command = [try DevmemSim.environment("DEVMEM_IOU_ZCRX")] + arguments
    return try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"), DevmemSim.command(command, at: end))
  }

  @Test("what it sends arrives in our memory", arguments: [1, 12_840, 100_000])
  func fromIt(payloadByteCount: Int) throws {
    let rig = try ZeroCopyRig(port: 5581)
    // Its own default is 2 MiB.
    let byteCount = payloadByteCount == 1 ? 3000 : 512 * 4096
    let sender = try Self.start(
      at: DevmemSim.peer,
      [
        "-c", "-h", DevmemSim.here.ipv6, "-p", "5581", "-l", "\(payloadByteCount)", "-z",
        "\(byteCount)",
      ])
    var receiver = try rig.receiver()
    var packet = receiver.makePacket()
    var received = 0
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        try rig.memory.withCPUAccess(.read) {
          while let fragment = packet.popFirstFragment() {
            let isRight = try fragment.withBytes { bytes in
              (0..<bytes.byteCount).allSatisfy {
                unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
                  == Self.byte(at: received + $0)
              }
            }
            try #require(isRight, "wrong bytes after \(received)")
            received += fragment.byteCount
          }
        }
      case .wouldBlock: try #require(try receiver.wait(milliseconds: 60_000))
      case .exhausted: Issue.record("nothing is held")
      case .endOfStream: break loop
      }
    }
    #expect(received == byteCount)
    let output = try sender.wait()
    #expect(output.status == 0, "\(output.standardOutput)\(output.standardError)")
    #expect(rig.instance.statistics.copyCount == 0)
  }

  @Test(
    "it receives what we send out of registered memory, and every byte is the right one",
    arguments: [64 << 10, 1 << 20])
  func toIt(byteCount: Int) throws {
    let port: UInt16 = 5582
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    let setup = try NICSetup(
      interface, queues: [ZeroCopyRig.queue],
      rules: [
        SteeringRule(.tcp6, destination: .init(port: port), queue: ZeroCopyRig.queue)
      ])
    let receiver = try Self.start(
      at: DevmemSim.here,
      ["-s", "-p", "\(port)", "-i", interface.name, "-q", "\(ZeroCopyRig.queue)"])
    let job = PeerJob { () -> ZeroCopySender.Statistics in
      let memory = try DMABuf.udmabuf(byteCount: 2 << 20)
      let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(memory)))
      var socket: TCPSocket?
      // It listens at some time.
      for _ in 0..<1000 where socket == nil {
        socket = try? PeerSend.connect(port, isIPv6: true)
        if socket == nil { usleep(20_000) }
      }
      var sender = try ZeroCopySender(
        stream: socket.take()!.takeDescriptor(), memory: memory,
        configuration: .init(minimumByteCount: 0))
      var packet = Packet(fragmentCapacity: 16)
      var sent = 0
      while sent < byteCount {
        while packet.fragmentCount < 16, sent < byteCount, var netmem = pool.allocate() {
          try memory.withCPUAccess(.readWrite) {
            try netmem.withMutableBytes { bytes in
              unsafe bytes.withUnsafeMutableBytes { bytes in
                for index in 0..<4096 { unsafe bytes[index] = Self.byte(at: sent + index) }
              }
            }
          }
          packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: 4096))
          sent += 4096
        }
        try sender.sendAll(&packet)
      }
      try sender.finish()
      try sender.reapCompletions()
      return sender.statistics
    }
    let output = try receiver.wait()
    #expect(output.status == 0, "\(output.standardOutput)\(output.standardError)")
    let statistics = try job.join()
    #expect(statistics.zeroCopyByteCount == byteCount)
    // The kernel lets the queue go some time after its end.
    for _ in 0..<1000 where try ZeroCopyRig.isBound() { usleep(10_000) }
    try setup.restore()
  }
}
