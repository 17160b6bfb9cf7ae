// SPDX-License-Identifier: Apache-2.0
// An epoll loop: one thread serves a hundred connections from one pool.
import Devmem
import DevmemNet

final class Connection {
  var receiver: HeaderSplitReceiver
  init(_ receiver: consuming HeaderSplitReceiver) { self.receiver = receiver }
}

let buffer = try (try? DMABuf.udmabuf(byteCount: 1 << 20)) ?? .memoryFile(byteCount: 1 << 20)
let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
let poll = try EventPoll()
let listener = try TCPSocket.listen(on: .loopback(port: 0))
var (connections, ready, byteCount): ([Int32: Connection], [Int32], Int) = ([:], [], 0)
for _ in 0..<100 {
  try TCPSocket.connect(to: .loopback(port: listener.port)).send(Array(repeating: 7, count: 10_000))
  let socket = try listener.accept().takeDescriptor()
  let peer = try Connection(.init(unframed: socket, maximumByteCount: 4096, payload: pool))
  try poll.add(peer.receiver.descriptorNumber)
  connections[peer.receiver.descriptorNumber] = peer
}
while !connections.isEmpty {
  try poll.wait(into: &ready)
  try buffer.withCPUAccess(.write) {
    for peer in ready.compactMap({ connections[$0] }) {
      var packet = peer.receiver.makePacket()
      let outcome = try peer.receiver.receive(into: &packet)
      byteCount += packet.payloadByteCount
      if outcome == .endOfStream { connections[peer.receiver.descriptorNumber] = nil }
    }
  }
}
precondition(byteCount == 100 * 10_000 && pool.inFlight.held == 0)
print("100 connections, \(byteCount) bytes, one pool over \(buffer.exporter)")
