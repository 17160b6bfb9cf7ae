// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Descriptors, mappings and claims before and after, in a process of their own.
@Suite("Device memory TCP leaves nothing behind", .onDevmemSim, .serialized)
struct DevmemLeakTests {
  @Test("a transfer, an abandoned one, and one that is refused")
  func nothingLeft() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      do {
        // The first may open what a library keeps open.
        try Self.all()
        let before = try ResourceCount.now()
        try Self.all()
        var after = try ResourceCount.now()
        // What an abandoned sender had in flight is kept until the kernel is done with it.
        for _ in 0..<500 where after != before {
          usleep(20_000)
          after = try ResourceCount.now()
        }
        print(after == before ? "nothing" : "held \(before), then \(after)")
      } catch {
        print("\(error)")
      }
    }
    guard let result else { return }
    let output = String(decoding: result.standardOutputContent, as: UTF8.self)
    #expect(output == "nothing\n")
  }

  private static func all() throws {
    try transfer()
    try abandoned()
    try refused()
  }

  private static func transfer() throws {
    let rig = try DevmemRig(byteCount: 4 << 20)
    let port = rig.port
    let job = PeerJob { try PeerSend.devmem(1 << 20, port: port) }
    var receiver = try rig.receiver()
    try rig.drain(&receiver) { fragment, _ in _ = consume fragment }
    try receiver.flush()
    _ = try job.join()
  }

  /// The receiver ends in the middle, a fragment later than it, and the sender with calls in
  /// flight.
  private static func abandoned() throws {
    let rig = try DevmemRig(byteCount: 4 << 20)
    let port = rig.port
    let job = PeerJob { try? PeerSend.devmem(1 << 20, port: port) }
    var last: HeldFragment?
    do {
      var receiver = try rig.receiver()
      try rig.drain(&receiver, to: 100_000) { fragment, offset in
        last = HeldFragment(fragment, at: offset)
      }
    }
    rig.binding.close()
    last?.end()
    _ = try job.join()
  }

  /// The memory is bound for sending, the queue has some already, the interface cannot.
  private static func refused() throws {
    let rig = try DevmemRig(byteCount: 4 << 20)
    let other = try DMABuf.udmabuf(byteCount: 1 << 20)
    let loopback = try NetworkInterface(named: "lo")
    for (interface, buffer) in [
      (rig.interface, other), (rig.interface, rig.buffer), (loopback, other),
    ] {
      do {
        _ = try NetdevBinding.receive(buffer, interface: interface, queues: [3])
        throw DevmemSim.Failure(description: "bound on \(interface)")
      } catch is DevmemError {}
    }
    let socket = try UnixSocket.pair()
    do {
      _ = try DevmemReceiver(
        stream: socket.0.descriptor.duplicate(), binding: rig.binding, linear: rig.linear)
      throw DevmemSim.Failure(description: "a Unix socket is none of TCP")
    } catch is DevmemError {}
  }
}
