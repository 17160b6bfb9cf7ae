// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import DevmemXDP
import Foundation
import Glibc
import Testing

@Suite("AF_XDP", .serialized, .onVethPair)
struct XDPSocketTests {
  private static let port = 9046

  /// Sends COUNT datagrams of SIZE bytes with their numbers in front.
  private static let numbersSender = """
    import socket, sys
    count, size = int(sys.argv[1]), int(sys.argv[2])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(count):
        s.sendto(number.to_bytes(4, "big") + bytes((number + i) & 255 for i in range(size - 4)),
                 ("10.46.0.1", 9046))
    """

  /// Sends COUNT datagrams and wants each of them back.
  private static let echoClient = """
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.connect(("10.46.0.1", 9046))
    for number in range(int(sys.argv[1])):
        said = number.to_bytes(4, "big") + bytes(number % 1000)
        s.send(said)
        if s.recv(2000) != said: sys.exit(f"another answer to {number}")
    """

  private static let headerByteCount = 14 + 20 + 8

  @Test("datagrams land in the dma-buf, none lost beyond what the kernel counts", arguments: [1000])
  func receiving(payload: Int) throws {
    let count = 3000
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20)
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    try buffer.withCPUAccess(.readWrite) {
      let program = try XDPProgram(
        interface: VethPair.interface, filter: .udp(port: Self.port))
      var socket = try XDPSocket(UMEM(buffer), program: program, queue: 0)
      var other = try XDPSocket(UMEM(buffer), program: program, queue: 1)
      let lent = [try socket.lend(from: pool, atMost: 1024), try other.lend(from: pool)]
      #expect(lent == [1024, 1024])
      try socket.flush()
      try other.flush()
      let sender = try VethPair.startPeer(Self.numbersSender, "\(count)", "\(payload)")
      var (received, next, wrong, isDone) = (0, 0, 0, false)
      while !isDone {
        isDone = !sender.process.isRunning
        while let frame = socket.receive() ?? other.receive() {
          try frame.withBytes { bytes in
            let big = bytes.integer(at: Self.headerByteCount, as: UInt32.self)
            let number = Int(UInt32(bigEndian: big))
            if number < next || bytes.byteCount != Self.headerByteCount + payload { wrong += 1 }
            let last = bytes.integer(at: bytes.byteCount - 1, as: UInt8.self)
            if last != UInt8(truncatingIfNeeded: number + payload - 5) { wrong += 1 }
            next = number + 1
          }
          received += 1
        }
        // Which queue a flow comes by is the interface's business.
        _ = try socket.lend(from: pool, atMost: 1024 - socket.lentCount)
        _ = try other.lend(from: pool, atMost: 1024 - other.lentCount)
        try socket.flush()
        try other.flush()
        _ = try socket.wait(milliseconds: 10)
      }
      #expect(wrong == 0)
      let lost = try Self.lost(socket) + Self.lost(other)
      #expect(received + lost == count)
      #expect(received > 0)
      let kernels = socket.lentCount + other.lentCount
      #expect(pool.inFlight.held == kernels)
    }
    #expect(pool.inFlight.held == 0)
  }

  /// Packets that the kernel had no place for.
  private static func lost(_ socket: borrowing XDPSocket) throws -> Int {
    let seen = try socket.statistics()
    return Int(seen.receiveRingFull + seen.fillRingEmpty + seen.receiveDropped)
  }

  @Test("datagrams go back from the buffers that they came in")
  func echo() throws {
    let count = 300
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20)
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    try buffer.withCPUAccess(.readWrite) {
      let program = try XDPProgram(interface: VethPair.interface, filter: .udp(port: Self.port))
      var socket = try XDPSocket(
        UMEM(buffer), program: program, queue: 0, configuration: .init(fillCount: 256))
      _ = try socket.lend(from: pool)
      try socket.flush()
      let client = try VethPair.startPeer(Self.echoClient, "\(count)")
      var sent = 0
      while client.process.isRunning {
        _ = try socket.wait(milliseconds: 100)
        while var frame = socket.receive() {
          try frame.withMutableBytes { bytes in Self.swapAddresses(&bytes) }
          if try socket.send(frame) == nil { sent += 1 }
        }
        socket.collect()
        _ = try socket.lend(from: pool)
        try socket.flush()
      }
      let output = try client.wait()
      #expect(output.status == 0, "\(output.standardError)")
      #expect(sent == count)
      let statistics = try socket.statistics()
      #expect(statistics.transmitInvalid == 0)
    }
    #expect(pool.inFlight.held == 0)
  }

  /// Ethernet's, IPv4's and UDP's, whose checksums stay right.
  private static func swapAddresses(_ bytes: inout MutableRawSpan) {
    func swap(_ one: Int, _ other: Int, _ count: Int) {
      for position in 0..<count {
        let byte = bytes.bytes.integer(at: one + position, as: UInt8.self)
        let its = bytes.bytes.integer(at: other + position, as: UInt8.self)
        bytes.storeBytes(of: its, toByteOffset: one + position, as: UInt8.self)
        bytes.storeBytes(of: byte, toByteOffset: other + position, as: UInt8.self)
      }
    }
    swap(0, 6, 6)
    swap(14 + 12, 14 + 16, 4)
    swap(14 + 20, 14 + 22, 2)
  }

  @Test("the program is gone with the process, also after SIGKILL")
  func killed() async throws {
    await #expect(processExitsWith: .signal(SIGKILL)) {
      let program = try XDPProgram(interface: VethPair.interface)
      let isThere = try VethPair.hasProgram()
      precondition(isThere)
      withExtendedLifetime(program) { _ = kill(getpid(), SIGKILL) }
    }
    // The kernel takes it away when it has closed the dead process's descriptors.
    for _ in 0..<1000 {
      if try !VethPair.hasProgram() { break }
      usleep(10_000)
    }
    #expect(try !VethPair.hasProgram())
  }

  @Test("each refusal has its own error, and nothing is left")
  func refusals() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    func expect(_ code: XDPError.Code, _ body: () throws -> Void) {
      do {
        try body()
        Issue.record("no error, where \(code) was expected")
      } catch let error as XDPError {
        #expect(error.code == code, "\(error)")
        #expect(error.remedy != nil)
      } catch {
        Issue.record("\(error), where \(code) was expected")
      }
    }
    expect(.interfaceMissing) { _ = try XDPProgram(interface: "dmveth-none") }
    expect(.invalidConfiguration) {
      _ = try XDPProgram(interface: VethPair.interface, filter: .udp(port: 0))
    }
    expect(.invalidConfiguration) {
      _ = try UMEM(buffer, chunkByteCount: 1024)
    }
    expect(.invalidConfiguration) { _ = try UMEM(buffer, range: 100..<8192) }
    let program = try XDPProgram(interface: VethPair.interface)
    expect(.programAttached) { _ = try XDPProgram(interface: VethPair.interface) }
    let memory = try UMEM(buffer)
    expect(.queueMissing) { _ = try XDPSocket(memory, program: program, queue: 7) }
    expect(.invalidConfiguration) { _ = try XDPSocket(memory, program: program, queue: 64) }
    expect(.interfaceUnsupported) {
      _ = try XDPSocket(
        memory, program: program, queue: 0, configuration: .init(mode: .zeroCopy))
    }
    do {
      let socket = try XDPSocket(memory, program: program, queue: 0)
      expect(.queueTaken) { _ = try XDPSocket(memory, program: program, queue: 0) }
      _ = socket
    }
    let again = try XDPSocket(memory, program: program, queue: 0)
    let isZeroCopy = again.isZeroCopy
    #expect(!isZeroCopy)
    // A dma-buf's own mapping cannot be pinned.
    let imported = try DMABuf.imported(buffer.duplicateDescriptor())
    expect(.notPinnable) { _ = try UMEM(imported) }
  }

  @Test("a buffer of other memory is refused, and is back in its pool")
  func foreign() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let other = try PagePool(provider: HostMemoryProvider(byteCount: 1 << 20))
    let program = try XDPProgram(interface: VethPair.interface)
    var socket = try XDPSocket(UMEM(buffer), program: program, queue: 0)
    do {
      _ = try socket.lend(from: other)
      Issue.record("lent")
    } catch {
      #expect(error.code == .foreignBuffer)
    }
    let frame = XDPFrame(try other.take(), start: 0, byteCount: 100)
    do {
      let refused = try socket.send(frame)
      Issue.record(refused == nil ? "sent" : "refused without an error")
    } catch {
      #expect(error.code == .foreignBuffer)
    }
    #expect(other.inFlight.held == 0)
    let count = socket.lentCount
    #expect(count == 0)
  }

  @Test("no descriptor, mapping or claim is lost when a call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
      ForcedErrnos.printVerdict(
        with: [.EINTR, .EPERM, .ENOMEM, .EINVAL, .EIO],
        tolerates: { [.xdpTableRemove].contains($0.call) }
      ) {
        let program = try XDPProgram(interface: VethPair.interface)
        var socket = try XDPSocket(UMEM(buffer), program: program, queue: 0)
        _ = try socket.lend(from: pool, atMost: 16)
        if try socket.send(XDPFrame(pool.take(), start: 0, byteCount: 100)) != nil { fatalError() }
        try socket.flush()
        _ = try socket.wait(milliseconds: 0)
        _ = try socket.statistics()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
