// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemNet
import DevmemSystem
import Testing

/// Receivers in somebody's event loop: edge-triggered, the strictest kind, which tells of new data
/// once.
@Suite("DevmemReceiver under epoll", .onDevmemSim, .serialized)
struct DevmemEpollTests {
  @Test("two receivers, each drained when its edge comes, get all there is")
  func edges() throws {
    let byteCount = 2 << 20
    let rig = try DevmemRig(byteCount: 16 << 20, queues: [2, 3])
    let port = rig.port
    let listener = try DevmemRig.listen(port + 1, isIPv6: true)
    let jobs = (0..<2).map { flow in
      PeerJob { try PeerSend.devmem(byteCount, port: port + UInt16(flow), seed: UInt64(flow)) }
    }
    var first = try rig.receiver()
    var second = try DevmemReceiver(
      stream: rig.accept(from: listener), binding: rig.binding, linear: rig.linear)

    let epoll = OwnedFileDescriptor(owning: ctest_epoll_make())
    for number in [first.descriptorNumber, second.descriptorNumber] {
      try #require(ctest_epoll_add(epoll.rawValue, number) == 0)
    }

    var received = [0, 0]
    var open: Set = [0, 1]
    var edges = 0
    while !open.isEmpty {
      let ready = ctest_epoll_wait(epoll.rawValue, 30_000)
      try #require(ready >= 0)
      edges += 1
      let isFirst = ready == first.descriptorNumber
      let flow = isFirst ? 0 : 1
      let isOpen =
        try isFirst
        ? Self.drain(&first, rig, &received[flow]) : Self.drain(&second, rig, &received[flow])
      if !isOpen { open.remove(flow) }
    }
    #expect(received == [byteCount, byteCount])
    #expect(edges > 1)
    for job in jobs {
      let outcome = try job.join()
      #expect(outcome.heldCount == 0)
    }
    try first.flush()
    try second.flush()
    #expect(first.tokensOwed == 0)
    #expect(second.tokensOwed == 0)
    #expect(first.statistics.unboundByteCount == 0)
    #expect(second.statistics.unboundByteCount == 0)
  }

  /// Receives until there is nothing more now. False at the end of the stream.
  private static func drain(
    _ receiver: inout DevmemReceiver, _ rig: DevmemRig, _ offset: inout Int
  ) throws -> Bool {
    var packet = receiver.makePacket()
    while true {
      switch try receiver.receive(into: &packet) {
      case .packet:
        try rig.buffer.withCPUAccess(.read) {
          while let fragment = packet.popFirstFragment() {
            let isRight = try DevmemRig.isPattern(fragment, at: offset)
            #expect(isRight)
            offset += fragment.byteCount
          }
        }
      case .wouldBlock: return true
      case .exhausted: throw DevmemSim.Failure(description: "exhausted")
      case .endOfStream: return false
      }
    }
  }
}
