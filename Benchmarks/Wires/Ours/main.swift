// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemURing
import Glibc

// The library's side of `make bench-wires`: what Benchmarks/Wires/wires.c says.
//
//   WireBench recv|send BYTES SIZE
let bufferCount = 64

func accept() throws -> OwnedFileDescriptor {
  let listener = try TCPSocket.listen(on: TCPEndpoint(address: "127.0.0.1", port: 0))
  print(listener.port)
  fflush(nil)
  let stream = try listener.accept()
  // A small packet does not wait for the one before it to be acknowledged.
  try stream.setNoDelay(true)
  return stream.takeDescriptor()
}

func receive(size: Int) throws {
  let memory = try DMABuf.memoryFile(byteCount: bufferCount * size)
  let pool = try PagePool(
    provider: DMABufMemoryProvider(DMABufCarving(memory, iovByteCount: size)))
  let stream = try accept()
  let start = ContinuousClock.now
  var receiver = try ProvidedBufferReceiver(
    stream: stream, payload: pool, configuration: .init(lentCount: bufferCount))
  var packet = receiver.makePacket()
  while try receiver.receive(into: &packet) == .packet {}
  say(start)
}

func send(byteCount: Int, size: Int) throws {
  let memory = try DMABuf.memoryFile(byteCount: bufferCount * size)
  let pool = try PagePool(
    provider: DMABufMemoryProvider(DMABufCarving(memory, iovByteCount: size)))
  let stream = try accept()
  let start = ContinuousClock.now
  var sender = try ZeroCopySender(
    stream: stream, memory: memory,
    configuration: .init(packetLimit: bufferCount, fragmentLimit: 1, minimumByteCount: 0))
  var packet = Packet(fragmentCapacity: 1)
  for _ in 0..<byteCount / size {
    var buffer = pool.allocate()
    while buffer == nil {
      _ = try sender.awaitCompletions(leaving: bufferCount - 1)
      buffer = pool.allocate()
    }
    guard let netmem = buffer.take() else { fatalError("no buffer") }
    packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: size))
    try sender.sendAll(&packet)
  }
  _ = try sender.awaitCompletions()
  say(start)
}

func say(_ start: ContinuousClock.Instant) {
  let time = (ContinuousClock.now - start).components
  print(time.seconds * 1_000_000_000 + time.attoseconds / 1_000_000_000)
}

let arguments = CommandLine.arguments
guard arguments.count == 4, let byteCount = Int(arguments[2]), let size = Int(arguments[3]) else {
  print("usage: WireBench recv|send BYTES SIZE")
  exit(64)
}
if arguments[1] == "recv" {
  try receive(size: size)
} else {
  try send(byteCount: byteCount, size: size)
}
