// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@testable import DevmemNet

/// The sender without a card: what is copied, what is refused, and in which words.
@Suite("SenderCore")
struct SenderCoreTests {
  fileprivate static func core(
    _ socket: borrowing TCPSocket, buffer: DMABuf? = nil, carving: DMABufCarving? = nil
  ) throws -> SenderCore {
    SenderCore(
      socket: try socket.descriptor.duplicate(), bindingID: 77, binding: nil, buffer: buffer,
      carving: carving, configuration: DevmemSender.Configuration(fragmentLimit: 64, callLimit: 8))
  }

  private static func packet(_ bytes: [UInt8], _ pool: PagePool) throws -> Packet {
    var packet = Packet(fragmentCapacity: 64)
    var rest = bytes[...]
    while !rest.isEmpty {
      var netmem = try pool.take()
      let piece = Array(rest.prefix(netmem.byteCount - 3))
      rest = rest.dropFirst(piece.count)
      try netmem.withMutableBytes { bytes in
        for index in piece.indices {
          bytes.storeBytes(of: piece[index], toByteOffset: index + 3, as: UInt8.self)
        }
      }
      packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 3, byteCount: piece.count))
    }
    return packet
  }

  @Test("host memory is copied, and its buffers are free at once")
  func copies() throws {
    let flow = try DevmemReceiverPlainTests.Flow(iovCount: 64)
    let pool = try PagePool(provider: try ListProvider(iovCount: 64, iovByteCount: 512))
    let core = try Self.core(flow.far)
    let bytes = (0..<9001).map { UInt8(truncatingIfNeeded: $0 &* 17) }
    var packet = try Self.packet(bytes, pool)
    #expect(try core.send(&packet) == .sent)
    #expect(packet.fragmentCount == 0)
    #expect(pool.inFlight.held == 0)
    #expect(core.counts.copiedByteCount == bytes.count)
    #expect(core.window.callCount == 0)
    var receiver = try flow.receiver()
    var into = receiver.makePacket()
    var received: [UInt8] = []
    while received.count < bytes.count {
      #expect(try receiver.wait(milliseconds: 10_000))
      if try receiver.receive(into: &into) == .packet { received += try into.payloadBytes() }
    }
    #expect(received == bytes)
  }

  @Test("a socket that takes little leaves the packet pending, and nothing is lost or doubled")
  func pending() throws {
    let flow = try DevmemReceiverPlainTests.Flow(iovCount: 64)
    try flow.far.setSendBuffer(byteCount: 4096)
    try flow.far.descriptor.setBlocking(false)
    let pool = try PagePool(provider: try ListProvider(iovCount: 256, iovByteCount: 65536))
    let core = try Self.core(flow.far)
    var receiver = try flow.receiver()
    var into = receiver.makePacket()
    var sent: [UInt8] = []
    var received: [UInt8] = []
    var pendingCount = 0
    var refusedCount = 0
    var next: Packet? = nil
    var seed: UInt8 = 0
    while sent.count < 3 << 20 || received.count < sent.count {
      if sent.count < 3 << 20 {
        var packet: Packet
        if let left = next.take() {
          packet = left
        } else {
          seed &+= 1
          let bytes = [UInt8](repeating: seed, count: 1 << 19)
          packet = try Self.packet(bytes, pool)
        }
        let byteCount = packet.payloadByteCount
        switch try core.send(&packet) {
        case .sent: sent += [UInt8](repeating: seed, count: byteCount)
        case .pending:
          pendingCount += 1
          sent += [UInt8](repeating: seed, count: byteCount)
        case .wouldBlock:
          refusedCount += 1
          #expect(packet.payloadByteCount == byteCount)
          next = consume packet
        case .tooMuchInFlight: Issue.record("nothing is in flight")
        }
      } else {
        _ = try core.resume()
      }
      for _ in 0..<64 {
        guard try receiver.receive(into: &into) == .packet else { break }
        received += try into.payloadBytes()
      }
    }
    try #require(received == sent)
    #expect(pendingCount > 0 && refusedCount > 0)
    #expect(pool.inFlight.held == 0)
  }

  @Test("an id that is not bound for sending is final, and said as such")
  func notBound() throws {
    let flow = try DevmemReceiverPlainTests.Flow()
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 16)
    let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
    let pool = try PagePool(provider: DMABufMemoryProvider(carving))
    try flow.far.descriptor.setZerocopy(true)
    let core = try Self.core(flow.far, buffer: buffer, carving: carving)
    for _ in 0..<2 {
      var packet = Packet(fragmentCapacity: 4)
      packet.append(PayloadFragment(netmem: try pool.take(), offsetInIOV: 0, byteCount: 10))
      let error = #expect(throws: DevmemError.self) { _ = try core.send(&packet) }
      #expect(error?.code == .notBound)
      #expect(error?.underlying == .EINVAL)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test(
    "what the kernel refuses is typed with its way out",
    arguments: [
      (Errno.ENODEV, DevmemError.Code.wrongDevice), (.EFAULT, .foreignMemory),
      (.EPIPE, .connectionLost), (.ECONNRESET, .connectionLost),
    ])
  func refusals(errno: Errno, code: DevmemError.Code) throws {
    let flow = try DevmemReceiverPlainTests.Flow()
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 16)
    let carving = try DMABufCarving(buffer, addressing: .bufferOffset)
    let pool = try PagePool(provider: DMABufMemoryProvider(carving))
    let core = try Self.core(flow.far, buffer: buffer, carving: carving)
    var packet = Packet(fragmentCapacity: 4)
    packet.append(PayloadFragment(netmem: try pool.take(), offsetInIOV: 0, byteCount: 10))
    SystemCallSeam.forcing(errno, on: .devmemSend) {
      let error = #expect(throws: DevmemError.self) { _ = try core.send(&packet) }
      #expect(error?.code == code)
      #expect(code == .connectionLost || error?.remedy != nil)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("unreadable memory of somebody else is refused before anything is taken")
  func foreign() throws {
    let flow = try DevmemReceiverPlainTests.Flow()
    let pool = try PagePool(
      provider: try ListProvider(iovCount: 4, kind: .device, hasCPUMapping: false))
    let core = try Self.core(flow.far)
    var packet = Packet(fragmentCapacity: 4)
    packet.append(PayloadFragment(netmem: try pool.take(), offsetInIOV: 0, byteCount: 10))
    let error = #expect(throws: DevmemError.self) { _ = try core.send(&packet) }
    #expect(error?.code == .foreignMemory)
    #expect(packet.fragmentCount == 1)
  }

  @Test("waiting for completions ends although signals keep coming")
  func interruptedWait() throws {
    let flow = try DevmemReceiverPlainTests.Flow()
    let core = try Self.core(flow.far)
    var nothing = FragmentList(capacity: 1)
    core.window.open(&nothing)
    // A call that no card will ever complete.
    core.window.count()
    core.window.close()
    let wait = try Interruptions.during { try core.awaitCompletions(leaving: 0, milliseconds: 40) }
    #expect(!wait.result && wait.endedMeanwhile)
    #expect(core.window.callCount == 1)
  }

  @Test("waiting for completions ends on a connection that is over, too")
  func waitAfterTheEnd() async {
    await #expect(processExitsWith: .success) {
      // Ends this process if the wait does not.
      alarm(30)
      let flow = try DevmemReceiverPlainTests.Flow()
      let core = try SenderCoreTests.core(flow.far)
      var nothing = FragmentList(capacity: 1)
      core.window.open(&nothing)
      core.window.count()
      core.window.close()
      try flow.near.descriptor.endConnection()
      try core.socket.finishSending()
      // The condition that keeps poll(2) awake.
      while try !core.socket.wait(for: .completion, milliseconds: 1000) {}
      let isDone = try core.awaitCompletions(leaving: 0, milliseconds: 40)
      precondition(!isDone)
    }
  }
}
