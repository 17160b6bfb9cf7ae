// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import DevmemURing
import Foundation
import Synchronization
import Testing

@testable import devmemctl

/// What somebody else can do to an instance of zero-copy receive who has its refill ring mapped.
@Suite("Zero-copy receive with a hostile refill ring", .serialized) struct ZeroCopyHostileTests {
  enum Junk: CaseIterable {
    /// Entries that are anything.
    case entries
    /// Entries that name buffers of the memory, held ones among them.
    case buffers
    /// The place of the next entry.
    case tail
    /// The place of the kernel's next entry.
    case head
    case everything
  }

  /// Writes into a second mapping of the ring until it is told to stop.
  private final class Vandal: @unchecked Sendable {
    private let mapping: MemoryMapping
    private let isDone = Atomic<Bool>(false)
    private let worker = Worker()

    init(_ file: MemoryFile, _ junk: Junk, bufferCount: Int, seed: UInt64) throws {
      mapping = try file.map()
      worker.start { [self] in
        var random = SeededGenerator(seed: seed)
        while !isDone.load(ordering: .acquiring) {
          write(
            junk == .everything ? Junk.allCases.randomElement(using: &random)! : junk,
            bufferCount, &random)
          SystemProcess.pause(milliseconds: Int32.random(in: 0...1, using: &random))
        }
      }
    }

    /// Offsets as the kernel has them: the head first, the tail in the next line of the cache, then
    /// the entries (`struct zcrx_rq_hdr`, io_uring/zcrx.h).
    private func write(_ junk: Junk, _ bufferCount: Int, _ random: inout SeededGenerator) {
      let bytes = unsafe mapping.bytes
      switch junk {
      case .head, .tail:
        unsafe bytes.storeBytes(
          of: UInt32.random(in: 0...UInt32.max, using: &random),
          toByteOffset: junk == .head ? 0 : 64, as: UInt32.self)
      case .entries, .everything:
        for offset in stride(from: 128, to: bytes.count - 64, by: 8) {
          unsafe bytes.storeBytes(
            of: UInt64.random(in: 0...UInt64.max, using: &random), toByteOffset: offset,
            as: UInt64.self)
        }
      case .buffers:
        // And behind those that are there, so that the kernel takes them.
        for index in 0..<bufferCount {
          unsafe bytes.storeBytes(
            of: UInt64(Int.random(in: 0..<bufferCount, using: &random)) << 12,
            toByteOffset: 128 + index * 16, as: UInt64.self)
          unsafe bytes.storeBytes(of: 4096, toByteOffset: 136 + index * 16, as: UInt64.self)
        }
        let tail = unsafe bytes.load(fromByteOffset: 64, as: UInt32.self)
        unsafe bytes.storeBytes(
          of: tail &+ UInt32.random(in: 0...4, using: &random), toByteOffset: 64, as: UInt32.self)
      }
    }

    func stop() {
      isDone.store(true, ordering: .releasing)
      worker.run {}
      worker.stop()
    }
  }

  @Test(
    "junk ends a stream by an error or not at all, and no false byte is taken for a right one",
    arguments: Junk.allCases)
  func junk(_ junk: Junk) throws {
    let memory = try DMABuf.udmabuf(byteCount: 32 * 4096)
    let byteCount = 1 << 20
    var (errors, ends) = (0, 0)
    for round in 0..<20 {
      let connection = try LoopbackConnection()
      connection.startSending(byteCount)
      let instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
      let vandal = try Vandal(
        instance.refillFile, junk, bufferCount: 32, seed: UInt64(round + 1))
      defer { vandal.stop() }
      let receiver = try PatternReceiver(connection.takeServer(), over: instance, hold: 6)
      var idleCount = 0
      do {
        // A stretch without a byte: the vandal has made the kernel lose its buffers.
        loop: while idleCount < 40 {
          switch try receiver.step() {
          case .packet: idleCount = 0
          case .wouldBlock, .exhausted:
            receiver.release()
            idleCount += 1
            SystemProcess.pause(milliseconds: 5)
          case .endOfStream:
            #expect(receiver.byteCount == byteCount)
            ends += 1
            break loop
          }
        }
      } catch let error as URingError {
        #expect(error.code == .shareDamaged && error.remedy != nil, "\(error)")
        errors += 1
      }
      receiver.drop()
    }
    // It has been noticed, where it can do harm at all.
    if junk == .tail { #expect(errors > 0) }
    #expect(errors + ends > 0)
    _ = try DMABufCarving(memory)
  }
}

/// Several instances and flows on a card that loses frames.
@Suite("Zero-copy receive over two queues", .onDevmemSim, .serialized)
struct ZeroCopyTwoQueuesTests {
  @Test("two instances, two flows each, over a card that loses frames and finds no memory")
  func flows() throws {
    let byteCount = 1 << 20
    let queues: [UInt32] = [2, 3]
    let ports: [UInt16] = [5591, 5592]
    let interface = try NetworkInterface(named: DevmemSim.here.interface)
    let setup = try NICSetup(
      interface, queues: queues,
      rules: zip(ports, queues).map {
        SteeringRule(.tcp6, destination: .init(port: $0), queue: $1)
      })
    do {
      let listeners = try ports.map { try DevmemRig.listen($0, isIPv6: true) }
      let memories = try queues.map { _ in try DMABuf.udmabuf(byteCount: 4 << 20) }
      let instances = try zip(queues, memories).map {
        try ZeroCopyInstance(memory: $1, from: .queue(interface, $0))
      }
      try DevmemSim.with(.loseFrames, 60, at: DevmemSim.here) {
        try DevmemSim.with(.failAllocations, 512, at: DevmemSim.here) {
          let jobs = [0, 1, 0, 1].map { index in
            PeerJob {
              let socket = SharedTCPSocket(try PeerSend.connect(ports[index], isIPv6: true))
              try PeerSend.plain(byteCount, over: socket)
              try socket.finishSending()
            }
          }
          let receivers = try [0, 1, 0, 1].map { index in
            try PatternReceiver(
              listeners[index].socket.accept().takeDescriptor(), over: instances[index], hold: 40)
          }
          var rest = Set(receivers.indices)
          var idleCount = 0
          while !rest.isEmpty && idleCount < 60_000 {
            var isIdle = true
            for index in rest {
              switch try receivers[index].step() {
              case .packet: isIdle = false
              case .endOfStream: rest.remove(index)
              case .exhausted: receivers[index].release()
              case .wouldBlock: break
              }
            }
            idleCount = isIdle ? idleCount + 1 : 0
            if isIdle { SystemProcess.pause(milliseconds: 1) }
          }
          #expect(receivers.map(\.byteCount) == [Int](repeating: byteCount, count: 4))
          for job in jobs { try job.join() }
          for receiver in receivers { receiver.drop() }
        }
      }
      for instance in instances {
        let statistics = instance.statistics
        #expect(statistics.copyCount == 0)
      }
    }
    try setup.restore()
  }
}
