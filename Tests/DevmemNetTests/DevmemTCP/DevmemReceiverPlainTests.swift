// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@testable import DevmemNet

/// The receiver on a flow that reaches no bound queue: all that it does besides device memory.
@Suite("DevmemReceiver on a plain flow")
struct DevmemReceiverPlainTests {
  /// A connection over loopback and a pool of host buffers.
  final class Flow {
    let near: TCPSocket
    let far: TCPSocket
    let pool: PagePool

    init(iovCount: Int = 16, iovByteCount: Int = 1024, isBlocking: Bool = false) throws {
      let listener = try TCPSocket.listen()
      far = try TCPSocket.connect(port: listener.port)
      near = try listener.accept()
      try far.setNoDelay(true)
      try near.descriptor.setBlocking(isBlocking)
      pool = try PagePool(
        provider: try ListProvider(iovCount: iovCount, iovByteCount: iovByteCount))
    }

    func receiver(byteLimit: Int = 4096, buffer: DMABuf? = nil) throws -> DevmemReceiver {
      try DevmemReceiver(
        unchecked: try near.descriptor.duplicate(), bindingID: 1, buffer: buffer, binding: nil,
        linear: pool,
        configuration: DevmemReceiver.Configuration(
          fragmentLimit: 16, byteLimit: byteLimit, tokenLimit: 64))
    }

    func write(_ bytes: [UInt8]) throws { try Self.write(bytes, to: far) }

    static func write(_ bytes: [UInt8], to far: borrowing TCPSocket) throws {
      var rest = bytes
      while !rest.isEmpty {
        let count = try unsafe rest.withUnsafeMutableBytes { bytes in
          let vector = unsafe IOVector(baseAddress: bytes.baseAddress, byteCount: bytes.count)
          return try unsafe withUnsafePointer(to: vector) {
            try unsafe far.descriptor.send(UnsafeBufferPointer(start: $0, count: 1))
          }
        }
        rest.removeFirst(count)
      }
    }
  }

  @Test("every byte arrives in order, all of it linear, in host buffers", arguments: [1, 2, 3])
  func linear(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let flow = try Flow()
    var receiver = try flow.receiver()
    var packet = receiver.makePacket()
    var sent: [UInt8] = []
    var received: [UInt8] = []
    for _ in 0..<60 {
      let piece = (0..<Int.random(in: 1...6000, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      try flow.write(piece)
      sent += piece
      while received.count < sent.count {
        #expect(try receiver.wait(milliseconds: 10_000))
        guard try receiver.receive(into: &packet) == .packet else { continue }
        #expect((1...4096).contains(packet.payloadByteCount))
        for position in 0..<packet.fragmentCount {
          packet.withFragment(at: position) {
            #expect($0.placement == .linear)
            #expect($0.kind == .host)
          }
        }
        received += try packet.payloadBytes()
      }
    }
    try #require(received == sent, "seed \(seed)")
    #expect(receiver.tokensOwed == 0)
    #expect(receiver.statistics.unboundByteCount == sent.count)
    #expect(receiver.statistics.deviceByteCount == 0)
    try flow.far.finishSending()
    #expect(try receiver.wait(milliseconds: 10_000))
    #expect(try receiver.receive(into: &packet) == .endOfStream)
    #expect(try receiver.receive(into: &packet) == .endOfStream)
    #expect(flow.pool.inFlight.held == 0)
  }

  @Test("the same code drains a plain socket by either receiver")
  func generic() throws {
    func drain(_ receiver: inout some PacketReceiver & ~Copyable) throws -> [UInt8] {
      var packet = receiver.makePacket()
      var all: [UInt8] = []
      while try receiver.receive(into: &packet) == .packet {
        while let fragment = packet.popFirstFragment() {
          all += try fragment.withBytes { bytes in
            (0..<bytes.byteCount).map {
              unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
            }
          }
        }
      }
      return all
    }
    let bytes = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 11) }
    let first = try Flow(isBlocking: true)
    try first.write(bytes)
    try first.far.finishSending()
    var devmem = try first.receiver()
    #expect(try drain(&devmem) == bytes)
    let second = try Flow(isBlocking: true)
    try second.write(bytes)
    try second.far.finishSending()
    var plain = try HeaderSplitReceiver(
      unframed: second.near.descriptor.duplicate(), maximumByteCount: 4096, payload: second.pool)
    #expect(try drain(&plain) == bytes)
  }

  @Test("an empty socket says so, after two system calls, and blocks where it should")
  func empty() throws {
    let flow = try Flow()
    var receiver = try flow.receiver()
    var packet = receiver.makePacket()
    let counts = try SystemCallSeam.counting {
      let outcome = try receiver.receive(into: &packet)
      #expect(outcome == .wouldBlock)
    }
    #expect(counts[.devmemReceive] == 2)
    let blocking = try Flow(isBlocking: true)
    var waiting = try blocking.receiver()
    let worker = Worker()
    defer { worker.stop() }
    let far = TCPSocket(try blocking.far.descriptor.duplicate())
    worker.start { try? Flow.write([1, 2, 3], to: far) }
    #expect(try waiting.receive(into: &packet) == .packet)
    #expect(try packet.payloadBytes() == [1, 2, 3])
  }

  @Test("a packet that waits costs one system call and takes no memory")
  func oneCall() throws {
    let flow = try Flow()
    var receiver = try flow.receiver()
    var packet = receiver.makePacket()
    try flow.write([1])
    #expect(try receiver.wait(milliseconds: 10_000))
    let counts = try SystemCallSeam.counting {
      let outcome = try receiver.receive(into: &packet)
      #expect(outcome == .packet)
    }
    #expect(counts == [.devmemReceive: 1])
  }

  @Test("an empty pool of host buffers stops the flow, and a returned buffer lets it go on")
  func exhausted() throws {
    let flow = try Flow(iovCount: 2)
    var receiver = try flow.receiver()
    var first = receiver.makePacket()
    var second = receiver.makePacket()
    try flow.write([UInt8](repeating: 5, count: 3000))
    #expect(try receiver.wait(milliseconds: 10_000))
    #expect(try receiver.receive(into: &first) == .packet)
    #expect(first.payloadByteCount == 2048)
    #expect(try receiver.receive(into: &second) == .exhausted(.header))
    first.removeAll()
    #expect(try receiver.wait(milliseconds: 10_000))
    #expect(try receiver.receive(into: &second) == .packet)
  }

  @Test("fragments that outlive the receiver keep their bytes; the peer sees the end")
  func outlive() throws {
    let flow = try Flow()
    var packet = Packet(fragmentCapacity: 64)
    do {
      var receiver = try flow.receiver()
      try flow.write([9, 8, 7])
      #expect(try receiver.wait(milliseconds: 10_000))
      #expect(try receiver.receive(into: &packet) == .packet)
    }
    #expect(try packet.payloadBytes() == [9, 8, 7])
    #expect(flow.pool.inFlight.held == 1)
    packet.removeAll()
    #expect(flow.pool.inFlight.held == 0)
  }

  @Test(
    "errors of the socket are typed, final, and leave no buffer behind",
    arguments: [
      (Errno.ECONNRESET, DevmemError.Code.connectionLost), (.ETIMEDOUT, .connectionLost),
      (.ETOOSMALL, .systemCall), (.EFAULT, .systemCall), (.ENODEV, .systemCall),
    ])
  func errors(errno: Errno, code: DevmemError.Code) throws {
    let flow = try Flow()
    var receiver = try flow.receiver()
    var packet = receiver.makePacket()
    try flow.write([1])
    #expect(try receiver.wait(milliseconds: 10_000))
    for call in 0..<2 {
      do {
        try SystemCallSeam.forcing(errno, on: .devmemReceive) {
          _ = try receiver.receive(into: &packet)
        }
        Issue.record("no error")
      } catch let error as DevmemError {
        #expect(error.code == code, "call \(call)")
        #expect(error.underlying == errno)
      }
    }
    #expect(flow.pool.inFlight.held == 0)
    #expect(receiver.tokensOwed == 0)
  }

  @Test(
    "bytes that the kernel reports past the end of the buffer are a typed error, and no fragment",
    arguments: [
      (8192, 1), (4096, 4097), (8191, 2), (0, 8193), (0, .max), (1 << 62, 4096), (1 << 63, 1),
      (.max, 1), (.max - 4095, 4096),
    ] as [(UInt64, UInt32)])
  func outsideBuffer(offset: UInt64, byteCount: UInt32) throws {
    let flow = try Flow()
    var receiver = try flow.receiver(buffer: try DMABuf.memoryFile(byteCount: 8192))
    var packet = receiver.makePacket()
    receiver.control.describe([
      DMABufMessage(offset: 4096, byteCount: 4096, token: 1, bindingID: 1),
      DMABufMessage(offset: offset, byteCount: byteCount, token: 2, bindingID: 1),
    ])
    do {
      try receiver.deliver(4096 + Int(byteCount), into: &packet)
      Issue.record("no error")
    } catch {
      #expect(error.code == .outsideBuffer)
    }
    #expect(packet.fragmentCount == 1)
    packet.removeAll()
    // Both tokens are on their way back; loopback knows none.
    #expect(receiver.tokensOwed == 2 && receiver.tokensWaiting == 2)
  }

  @Test("bytes that end where the buffer ends are delivered")
  func lastBytes() throws {
    let flow = try Flow()
    var receiver = try flow.receiver(buffer: try DMABuf.memoryFile(byteCount: 8192))
    var packet = receiver.makePacket()
    receiver.control.describe([
      DMABufMessage(offset: 0, byteCount: 8192, token: 1, bindingID: 1),
      DMABufMessage(offset: 8191, byteCount: 1, token: 2, bindingID: 1),
    ])
    try receiver.deliver(8193, into: &packet)
    #expect(packet.fragmentCount == 2 && packet.payloadByteCount == 8193)
  }

  @Test("a socket that is not TCP, and a kernel without device memory, are refused by name")
  func refusals() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8192)
    let pool = try PagePool(provider: try ListProvider(iovCount: 4))
    let cases: [(Errno, DevmemError.Code)] = [
      (.EBADF, .notTCP), (.ENOPROTOOPT, .kernelUnsupported), (.ENOMEM, .systemCall),
    ]
    for (errno, code) in cases {
      let flow = try Flow()
      do {
        try SystemCallSeam.forcing(errno, on: .devmemReturnTokens) {
          _ = try DevmemReceiver(
            stream: flow.near.descriptor.duplicate(), bindingID: 1, buffer: buffer, linear: pool)
        }
        Issue.record("no error")
      } catch let error as DevmemError {
        #expect(error.code == code)
        #expect(error.underlying == errno)
      }
    }
  }

  @Test(
    "numbers out of their range are refused with the range, and close the socket"
  )
  func limits() throws {
    let flow = try Flow()
    typealias Configuration = DevmemReceiver.Configuration
    for configuration in [
      Configuration(fragmentLimit: .max), Configuration(fragmentLimit: 0),
      Configuration(byteLimit: .max), Configuration(byteLimit: 1024 * 1024 + 1),
      Configuration(byteLimit: 0), Configuration(byteLimit: .min),
      Configuration(byteLimit: 4096, tokenLimit: .max),
      Configuration(byteLimit: 4096, tokenLimit: 0),
    ] {
      do {
        _ = try DevmemReceiver(
          unchecked: try flow.near.descriptor.duplicate(), bindingID: 1, buffer: nil, binding: nil,
          linear: flow.pool, configuration: configuration)
        Issue.record("\(configuration) was taken")
      } catch let error as DevmemError {
        #expect(error.code == .invalidConfiguration)
        #expect(error.remedy?.contains("Choose it from 1 to ") == true)
      }
    }
  }
}
