// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// The table of refusals in docs/io-uring.md is what the kernel says here and now: each is brought
/// about, and its line has to be there.
@Suite("The errnos of docs/io-uring.md", .onDevmemSim, .serialized) struct URingErrnoTests {
  /// What was refused, with which errno, and the code of our error.
  private func line(_ what: String, _ errno: Errno?, _ code: String) -> String {
    "| \(what) | \(errno.map { "`\($0.name)`" } ?? "not asked") | `\(code)` |"
  }

  private func line(_ what: String, _ body: () throws -> Void) -> String {
    do {
      try body()
      return "| \(what) | none | none |"
    } catch let error as URingError {
      return line(what, error.underlying, error.code.rawValue)
    } catch let error as DevmemError {
      return line(what, error.underlying, error.code.rawValue)
    } catch {
      return "| \(what) | \(error) | |"
    }
  }

  /// The lines that an exit test has printed.
  private func lines(_ result: ExitTest.Result?) -> [String] {
    String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
      .map(String.init)
  }

  @Test("each line of the table is what the kernel answers")
  func table() async throws {
    var found: [String] = []
    found += lines(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        let setting = "/proc/sys/kernel/io_uring_disabled"
        let before = try String(contentsOfFile: setting, encoding: .utf8)
        defer { try? before.write(toFile: setting, atomically: false, encoding: .utf8) }
        try "2".write(toFile: setting, atomically: false, encoding: .utf8)
        do throws(URingError) {
          _ = try URing(submissionCount: 1, completionCount: 2)
        } catch {
          print(
            "| `kernel.io_uring_disabled` is 2 | `\(error.underlying!.name)` | `\(error.code)` |")
        }
        try "1".write(toFile: setting, atomically: false, encoding: .utf8)
        try SystemProcess.setEffectiveUser(1000)
        do throws(URingError) {
          _ = try URing(submissionCount: 1, completionCount: 2)
        } catch {
          print(
            "| it is 1, for any user but root | `\(error.underlying!.name)` | `\(error.code)` |")
        }
        try SystemProcess.setEffectiveUser(0)
      })
    for (number, words) in [
      (EPERM, "a container's filter of system calls"), (ENOSYS, "a filter that hides io_uring"),
    ] as [(Int32, String)] {
      found += lines(
        await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
          [number = number as Int32, words = words as String] in
          // io_uring_setup(2).
          let call: [Int32] = [425]
          precondition(unsafe ctest_refuse_calls(call, 1, number) == 0)
          do throws(URingError) {
            _ = try URing(submissionCount: 1, completionCount: 2)
          } catch {
            print("| \(words) | `\(error.underlying!.name)` | `\(error.code)` |")
          }
        })
    }
    found += lines(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        let memory = try DMABuf.udmabuf(byteCount: 65536)
        try SystemProcess.setEffectiveUser(1000)
        do {
          _ = try ZeroCopyInstance(memory: memory, from: .anySocket)
        } catch let error as URingError {
          print(
            "| zero-copy receive without CAP_NET_ADMIN | `\(error.underlying!.name)`"
              + " | `\(error.code)` |")
        }
      })
    found += try memoryLines()
    found += try queueLines()
    found += try sharingLines()

    print(found.joined(separator: "\n"))
    let page = try String(
      contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../../docs/io-uring.md"), encoding: .utf8)
    let missing = found.filter { !page.contains($0 + "\n") }
    #expect(missing.isEmpty, "docs/io-uring.md does not say so")
    #expect(found.count >= 18)
  }

  private func memoryLines() throws -> [String] {
    let memory = try DMABuf.udmabuf(byteCount: 65536)
    let imported = try memory.asImported()
    let socket = try LoopbackConnection()
    let instance = try ZeroCopyInstance(
      memory: DMABuf.udmabuf(byteCount: 65536), from: .anySocket)
    return [
      line("a dma-buf's own mapping, to receive into") {
        _ = try ZeroCopyInstance(memory: imported, from: .anySocket)
      },
      line("a dma-buf's own mapping, to send out of") {
        _ = try ZeroCopySender(stream: socket.server.duplicate(), memory: imported)
      },
      line("memory that is bound already") {
        _ = try ZeroCopyInstance(memory: instance.memory, from: .anySocket)
      },
      line("larger receive buffers without a card") {
        _ = try ZeroCopyInstance(
          memory: memory, from: .anySocket, configuration: .init(bufferByteCount: 16384))
      },
      line("a socket that is none, or not of TCP") {
        let (near, far) = try UnixSocket.pair(kind: .stream)
        var receiver = try ZeroCopyReceiver(
          stream: near.descriptor.duplicate(), over: instance)
        var packet = receiver.makePacket()
        _ = try receiver.receive(into: &packet)
        withExtendedLifetime(far) {}
      },
    ]
  }

  private func queueLines() throws -> [String] {
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    let loopback = try NetworkInterface(named: "lo")
    let memory = try DMABuf.udmabuf(byteCount: 4 << 20, pageSize: .huge2M)
    let small = try DMABuf.udmabuf(byteCount: 1 << 20)
    func register(
      _ memory: DMABuf, queue: UInt32 = ZeroCopyRig.queue, of card: NetworkInterface? = nil,
      byteCount: Int = 4096
    ) throws {
      _ = try ZeroCopyInstance(
        memory: memory, from: .queue(card ?? interface, queue),
        configuration: .init(bufferByteCount: byteCount))
    }
    var ethtool = try EthtoolFamily()
    var found: [String] = []
    try ethtool.setHeaderSplit(of: interface, dataSplit: .disabled, threshold: nil)
    found.append(line("a card's queue, header/data split off") { try register(memory) })
    try ethtool.setHeaderSplit(of: interface, dataSplit: .enabled, threshold: 100)
    found.append(line("the split on, its threshold not 0") { try register(memory) })
    try ethtool.setHeaderSplit(of: interface, dataSplit: .enabled, threshold: 0)
    found.append(line("no such queue") { try register(memory, queue: 99) })
    found.append(
      line("a card that does not manage queues (`lo`)") {
        try register(memory, queue: 0, of: loopback)
      })
    found.append(
      line("a card that does not take buffers of that size") {
        try register(memory, byteCount: 2 << 20)
      })
    found.append(
      line("larger buffers in memory of small pages") {
        // Contiguous by chance it is not: every second page of a file.
        let file = try MemoryFile(name: "holes", byteCount: 64 * 4096)
        try file.addSeals()
        let scattered = try DMABuf.udmabuf(
          scattering: (0..<32).map { .init(of: file, offset: $0 * 8192, byteCount: 4096) })
        try register(scattered, byteCount: 16384)
      })
    do {
      let binding = try NetdevBinding.receive(
        small, interface: interface, queues: [ZeroCopyRig.queue])
      found.append(line("a queue that device memory TCP has") { try register(memory) })
      binding.close()
      let instance = try ZeroCopyInstance(
        memory: small, from: .queue(interface, ZeroCopyRig.queue))
      found.append(line("a queue that another instance has") { try register(memory) })
      withExtendedLifetime(instance) {}
    }
    return found
  }

  private func sharingLines() throws -> [String] {
    let memory = try DMABuf.udmabuf(byteCount: 65536)
    let instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
    return [
      line("a 17th ring for one instance") {
        var shares: [ShareBox] = []
        for _ in 0..<17 { shares.append(ShareBox(try instance.export())) }
      },
      line("what is no instance, to be imported") {
        let (here, there) = try UnixSocket.pair()
        let file = try MemoryFile(name: "none", byteCount: 8192)
        try file.addSeals()
        _ = try here.send(
          [0x7A, 0x63, 0x72, 0x78, 2, 1],
          descriptors: [Int32](repeating: file.descriptor.rawValue, count: 4))
        _ = try ZeroCopyShare.receive(from: there)
      },
      line("an instance that grows, to be shared") {
        let growing = try ZeroCopyInstance(
          memory: DMABuf.udmabuf(byteCount: 65536), from: .anySocket,
          configuration: .init(
            growth: ZeroCopyGrowth(stepByteCount: 4096, maximumByteCount: 1 << 20)))
        _ = try growing.export()
      },
    ]
  }
}
