// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Testing

@testable import devmemctl

/// io_uring's zero-copy receive without a network device, over loopback, into a udmabuf.
@Suite("Zero-copy receive without a card", .serialized) struct ZeroCopyReceiverTests {
  /// A TCP connection over loopback and the memory to receive into.
  private final class Connection {
    let memory: DMABuf
    let client: SharedTCPSocket
    let server: OwnedFileDescriptor

    init(bufferCount: Int, listensOn address: String = "127.0.0.1") throws {
      memory = try DMABuf.udmabuf(byteCount: bufferCount * 4096, name: "zcrx")
      let listener = try TCPSocket.listen(on: TCPEndpoint(address: address, port: 0))
      client = SharedTCPSocket(
        try .connect(to: TCPEndpoint(address: address, port: listener.port)))
      server = try listener.accept().takeDescriptor()
    }

    func receiver(
      _ configuration: ZeroCopyReceiver.Configuration = .init()
    ) throws -> ZeroCopyReceiver {
      try ZeroCopyReceiver(
        stream: server.duplicate(), memory: memory, configuration: configuration)
    }
  }

  private final class Digest: @unchecked Sendable {
    var hash = SHA256()

    /// The digest so far; begins anew.
    func take() -> [UInt8] {
      var finished = SHA256()
      swap(&finished, &hash)
      return finished.finalize()
    }

    func update(_ fragment: borrowing PayloadFragment) throws {
      try fragment.withBytes { bytes in
        unsafe bytes.withUnsafeBytes { unsafe hash.update($0) }
      }
    }
  }

  @Test("the kernel says that it receives without a device, with what else it knows")
  func capabilities() throws {
    let capabilities = try ZeroCopyCapabilities.query()
    #expect(capabilities.hasNoDevice)
    // FLUSH_RQ is the first control operation.
    #expect(capabilities.controlCount >= 1)
  }

  @Test("one byte comes through every layer", arguments: ["127.0.0.1", "::1"])
  func oneByte(address: String) throws {
    let connection = try Connection(bufferCount: 16, listensOn: address)
    try connection.memory.withCPUAccess(.readWrite) {
      var receiver = try connection.receiver()
      var packet = receiver.makePacket()
      try connection.client.socket.send([42])
      #expect(try receiver.receive(into: &packet) == .packet)
      #expect(packet.payloadByteCount == 1 && packet.fragmentCount == 1)
      let fragment = packet.popFirstFragment()!
      #expect(fragment.kind == .device && fragment.placement == .pool)
      #expect(fragment.offset < UInt64(connection.memory.byteCount))
      let byte = try fragment.withBytes { unsafe $0.unsafeLoad(as: UInt8.self) }
      #expect(byte == 42)
      // It is in the dma-buf, at the fragment's offset.
      let mapping = try #require(connection.memory.cpuMapping)
      #expect(unsafe mapping.bytes[Int(fragment.offset)] == 42)
      #expect(receiver.heldCount == 1)
      try connection.client.finishSending()
      #expect(try receiver.receive(into: &packet) == .endOfStream)
      #expect(try receiver.receive(into: &packet) == .endOfStream)
      // Still as it was.
      #expect(try fragment.withBytes { unsafe $0.unsafeLoad(as: UInt8.self) } == 42)
    }
  }

  @Test("64 MiB arrive as they were sent, held, and ended on other threads in random order")
  func transfer() throws {
    let byteCount = 64 << 20
    let connection = try Connection(bufferCount: 1024)
    let sent = Digest()
    let received = Digest()
    let sender = unsafe RandomSender(connection.client, byteCount: byteCount, seed: 5) { bytes in
      unsafe sent.hash.update(bytes)
    }
    let workers = [Worker(), Worker()]
    defer { for worker in workers { worker.stop() } }
    var random = SeededGenerator(seed: 6)
    var held: [HeldFragment] = []
    try connection.memory.withCPUAccess(.readWrite) {
      var receiver = try connection.receiver()
      var packet = receiver.makePacket()
      loop: while true {
        switch try receiver.receive(into: &packet) {
        case .packet:
          while let fragment = packet.popFirstFragment() {
            try received.update(fragment)
            held.append(HeldFragment(fragment, at: 0))
          }
          while held.count > 600 {
            held.swapAt(Int.random(in: 0..<held.count, using: &random), held.count - 1)
            let fragment = held.removeLast()
            workers.randomElement(using: &random)!.start { fragment.end() }
          }
        case .exhausted:
          // Those that are on their way: their threads are slower than this one.
          for worker in workers { worker.run {} }
        case .wouldBlock: Issue.record("the receiver waits")
        case .endOfStream: break loop
        }
      }
      sender.wait()
      #expect(received.take() == sent.take())
      #expect(receiver.statistics.byteCount == byteCount)
      for fragment in held { workers[0].start { fragment.end() } }
      for worker in workers { worker.run {} }
    }
  }

  @Test("an area that is exhausted again and again in one connection costs no byte")
  func exhaustion() throws {
    let byteCount = 16 << 20
    let connection = try Connection(bufferCount: 16)
    let sent = Digest()
    let received = Digest()
    let sender = unsafe RandomSender(connection.client, byteCount: byteCount, seed: 7) { bytes in
      unsafe sent.hash.update(bytes)
    }
    try connection.memory.withCPUAccess(.readWrite) {
      var receiver = try connection.receiver()
      var packet = receiver.makePacket()
      var held: [HeldFragment] = []
      loop: while true {
        switch try receiver.receive(into: &packet) {
        case .packet:
          while let fragment = packet.popFirstFragment() {
            try received.update(fragment)
            held.append(HeldFragment(fragment, at: 0))
          }
        case .exhausted(let role):
          #expect(role == .payload)
          // The kernel said so with none left to speak of, not after the first one.
          #expect(held.count >= 12)
          held.removeAll()
        case .wouldBlock: Issue.record("the receiver waits")
        case .endOfStream: break loop
        }
      }
      sender.wait()
      #expect(received.take() == sent.take())
      #expect(receiver.statistics.byteCount == byteCount)
      #expect(receiver.statistics.stalls >= byteCount / (16 * 4096))
      #expect(receiver.statistics.starved >= 100)
    }
  }

  /// A peer over loopback that sends the pattern.
  private func startSending(_ client: SharedTCPSocket, _ byteCount: Int) -> Worker {
    let worker = Worker()
    worker.start {
      try? PeerSend.plain(byteCount, over: client)
      try? client.finishSending()
    }
    return worker
  }

  @Test(
    "exhausted and recovered thousands of times in one connection, with growth and without",
    arguments: [false, true])
  func manyTimes(grows: Bool) throws {
    // As many as scripts/test-device.sh says.
    let times = Int(ProcessInfo.processInfo.environment["DEVMEM_EXHAUSTION_COUNT"] ?? "") ?? 2000
    let connection = try Connection(bufferCount: 4)
    var added: [DMABuf] = []
    let growth = ZeroCopyGrowth(
      stepByteCount: 4096, maximumByteCount: 6 * 4096, lowWatermark: 1
    ) { byteCount in
      let memory = try DMABuf.udmabuf(byteCount: byteCount)
      added.append(memory)
      return memory
    }
    let instance = try ZeroCopyInstance(
      memory: connection.memory, from: .anySocket,
      configuration: .init(growth: grows ? growth : nil))
    var receiver = try ZeroCopyReceiver(stream: connection.server.duplicate(), over: instance)
    let worker = startSending(connection.client, times * 6 * 4096)
    defer { worker.stop() }
    var packet = receiver.makePacket()
    var held: [HeldFragment] = []
    var offset = 0
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        while let fragment = packet.popFirstFragment() {
          // Through the mapping itself: memory that was added has a bracket of its own.
          let isRight = unsafe DevmemRig.pattern.firstDifference(
            in: UnsafeRawBufferPointer(start: fragment.cpuAddress, count: fragment.byteCount),
            at: offset)
          guard isRight == nil else {
            Issue.record("wrong byte at \(isRight ?? 0)")
            return
          }
          offset += fragment.byteCount
          held.append(HeldFragment(fragment, at: 0))
        }
      case .exhausted:
        #expect(!held.isEmpty)
        held.removeAll()
      case .wouldBlock: Issue.record("the receiver waits")
      case .endOfStream: break loop
      }
    }
    #expect(offset == times * 6 * 4096)
    #expect(receiver.statistics.starved >= times, "\(receiver.statistics)")
    #expect(receiver.statistics.stalls >= times)
    let statistics = instance.statistics
    #expect(statistics.growths == (grows ? 2 : 0) && added.count == statistics.growths)
    // The kernel's count leaves out bytes where a request ends in the middle of a packet.
    #expect(statistics.copyByteCount > 0 && statistics.copyByteCount <= UInt64(offset))
    held.removeAll()
    try receiver.replenish()
    #expect(receiver.heldCount == 0)
  }

  @Test("memory is added before the receive ends, as long as the policy has some")
  func growth() throws {
    let byteCount = 24 << 20
    let connection = try Connection(bufferCount: 2048)
    let instance = try ZeroCopyInstance(
      memory: connection.memory, from: .anySocket,
      configuration: .init(
        growth: ZeroCopyGrowth(stepByteCount: 8 << 20, maximumByteCount: 64 << 20)))
    var receiver = try ZeroCopyReceiver(stream: connection.server.duplicate(), over: instance)
    // Never more under way than the watermark is for, however slow the receiver is.
    let chunk = 1 << 20
    let permits = DispatchSemaphore(value: 4)
    let client = connection.client
    let worker = Worker()
    worker.start {
      for _ in 0..<byteCount / chunk {
        permits.wait()
        try? PeerSend.plain(chunk, over: client)
      }
      try? client.finishSending()
    }
    defer { worker.stop() }
    var packet = receiver.makePacket()
    var held: [HeldFragment] = []
    var (received, permitted) = (0, 0)
    // Not one buffer is given back.
    while try receiver.receive(into: &packet) == .packet {
      received += packet.payloadByteCount
      while permitted < received / chunk {
        permits.signal()
        permitted += 1
      }
      while let fragment = packet.popFirstFragment() { held.append(HeldFragment(fragment, at: 0)) }
    }
    #expect(received == byteCount)
    #expect(receiver.statistics.starved == 0 && receiver.statistics.stalls == 0)
    let statistics = instance.statistics
    #expect(statistics.growths >= 3 && statistics.failedGrowths == 0)
    #expect(statistics.capacity * 4096 <= 64 << 20)
    held.removeAll()
    try receiver.replenish()
    #expect(receiver.heldCount == 0)
  }

  @Test("growth that fails is counted, says why, and ends no stream")
  func failingGrowth() throws {
    struct NoMore: Error {}
    let byteCount = 2 << 20
    let connection = try Connection(bufferCount: 16)
    let instance = try ZeroCopyInstance(
      memory: connection.memory, from: .anySocket,
      configuration: .init(
        growth: ZeroCopyGrowth(
          stepByteCount: 65536, maximumByteCount: 1 << 20, lowWatermark: 8
        ) { _ in throw NoMore() }))
    var receiver = try ZeroCopyReceiver(stream: connection.server.duplicate(), over: instance)
    let worker = startSending(connection.client, byteCount)
    defer { worker.stop() }
    var packet = receiver.makePacket()
    var held: [HeldFragment] = []
    var received = 0
    loop: while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        received += packet.payloadByteCount
        while let fragment = packet.popFirstFragment() {
          held.append(HeldFragment(fragment, at: 0))
        }
      case .exhausted: held.removeAll()
      case .wouldBlock: Issue.record("the receiver waits")
      case .endOfStream: break loop
      }
    }
    #expect(received == byteCount)
    let statistics = instance.statistics
    #expect(statistics.growths == 0 && statistics.failedGrowths >= 1)
    // Not at each call: only after there was enough again.
    #expect(statistics.failedGrowths <= receiver.statistics.stalls + 1)
    #expect(instance.growthError is NoMore)
  }

  @Test("two connections of one instance each get their own bytes")
  func twoConnections() throws {
    let byteCount = 2 << 20
    let connection = try Connection(bufferCount: 256)
    let other = try Connection(bufferCount: 1)
    let instance = try ZeroCopyInstance(memory: connection.memory, from: .anySocket)
    var receivers = [
      ZeroCopyBox(
        try ZeroCopyReceiver(
          stream: connection.server.duplicate(), over: instance, configuration: .init(waits: false))
      ),
      ZeroCopyBox(
        try ZeroCopyReceiver(
          stream: other.server.duplicate(), over: instance, configuration: .init(waits: false))),
    ]
    let workers = [
      startSending(connection.client, byteCount), startSending(other.client, byteCount),
    ]
    defer { for worker in workers { worker.stop() } }
    try connection.memory.withCPUAccess(.readWrite) {
      var rest: Set = [0, 1]
      while !rest.isEmpty {
        var isIdle = true
        for index in rest {
          switch try receivers[index].step(connection.memory) {
          case .packet: isIdle = false
          case .endOfStream: rest.remove(index)
          case .exhausted: isIdle = false
          case .wouldBlock: break
          }
        }
        if isIdle, let index = rest.first { try #require(try receivers[index].wait()) }
      }
    }
    #expect(receivers.map(\.byteCount) == [byteCount, byteCount])
    receivers = []
  }

  @Test("where a call does not wait, the ring's descriptor says when there is more")
  func polling() throws {
    let connection = try Connection(bufferCount: 64)
    try connection.memory.withCPUAccess(.readWrite) {
      var receiver = try connection.receiver(.init(waits: false))
      var packet = receiver.makePacket()
      #expect(try receiver.receive(into: &packet) == .wouldBlock)
      #expect(try !receiver.wait(milliseconds: 0))
      for count in [1, 5000, 10] {
        try connection.client.socket.send([UInt8](repeating: 3, count: count))
        var receivedCount = 0
        while receivedCount < count {
          try #require(try receiver.wait(milliseconds: 60_000))
          if try receiver.receive(into: &packet) == .packet {
            receivedCount += packet.payloadByteCount
          }
        }
        #expect(receivedCount == count)
        packet.removeAll()
        #expect(try receiver.receive(into: &packet) == .wouldBlock)
      }
    }
  }

  @Test("a dma-buf's own mapping cannot be pinned, and the error names the memory to give")
  func importedMemory() throws {
    let connection = try Connection(bufferCount: 16)
    let exported = try DMABuf.udmabuf(byteCount: 65536)
    let imported = try exported.asImported()
    try #require(imported.cpuMapping?.source == .dmaBuf)
    do {
      _ = try ZeroCopyReceiver(stream: connection.server.duplicate(), memory: imported)
      Issue.record("it was taken")
    } catch let error as URingError {
      #expect(error.code == .notPinnable && error.underlying == .EFAULT, "\(error)")
      #expect(error.remedy?.contains("memory file") == true, "\(error)")
    }
  }

  @Test("memory that is received into is bound, until the last fragment has ended")
  func claim() throws {
    let connection = try Connection(bufferCount: 16)
    var fragment: PayloadFragment?
    do {
      var receiver = try connection.receiver()
      var packet = receiver.makePacket()
      try connection.client.socket.send([1])
      #expect(try receiver.receive(into: &packet) == .packet)
      fragment = packet.popFirstFragment()
      #expect(throws: DevmemError.self) { try DMABufCarving(connection.memory) }
    }
    #expect(throws: DevmemError.self) { try DMABufCarving(connection.memory) }
    fragment = nil
    _ = fragment
    _ = try DMABufCarving(connection.memory)
  }

  @Test("no descriptor, mapping or claim is lost when a call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let memory = try DMABuf.udmabuf(byteCount: 65536)
      // Where the kernel does not say on which node the memory lies, a pool does without.
      ForcedErrnos.printVerdict(
        with: [.EINTR, .EPERM, .ENOMEM, .EINVAL, .EIO],
        tolerates: {
          // What could not be added, at whatever step, is counted, and the stream goes on. The last
          // call looks after a request that is to end.
          [.numaNodeOf, .uringAddArea, .open, .read].contains($0.call)
            || $0.call == .uringEnter && $0.occurrence == 4
        }
      ) {
        let added = try DMABuf.memoryFile(byteCount: 4096)
        let listener = try TCPSocket.listen()
        let client = try TCPSocket.connect(port: listener.port)
        let instance = try ZeroCopyInstance(
          memory: memory, from: .anySocket,
          configuration: .init(
            growth: ZeroCopyGrowth(
              stepByteCount: 4096, maximumByteCount: 17 * 4096, lowWatermark: 17
            ) { _ in added }))
        var receiver = try ZeroCopyReceiver(
          stream: listener.accept().takeDescriptor(), over: instance,
          configuration: .init(waits: false))
        var packet = receiver.makePacket()
        let first = try receiver.receive(into: &packet)
        precondition(instance.statistics.growths + instance.statistics.failedGrowths == 1)
        try client.send([UInt8](repeating: 3, count: 100))
        let isReadable = try receiver.wait(milliseconds: 60_000)
        let second = try receiver.receive(into: &packet)
        packet.removeAll()
        // Gives the buffer back.
        let third = try receiver.receive(into: &packet)
        precondition(first == .wouldBlock && isReadable && second == .packet)
        precondition(third == .wouldBlock)
        // The kernel said that it had copied, as it does without a card, and may say so again.
        precondition(instance.statistics.copyEvents == 1)
        try instance.rearm()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
