// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemURing
import Glibc

// A ring of its own in a process of its own that shares an instance of zero-copy receive with a
// test, for ZeroCopySharingTests to kill.
//
//   ZeroCopyPeer SOCKET import HOLD          takes its place from the test
//   ZeroCopyPeer SOCKET export HOLD BYTES    makes it, over memory of BYTES, and sends a place
//
// The test listens at SOCKET, and sends a TCP connection over it, whose bytes have to be 1, 2, …
// 250, newline. HOLD fragments are held all the time. It says over SOCKET how many bytes there
// were, now and then and at the end.
let arguments = CommandLine.arguments
guard arguments.count >= 4, let holdCount = Int(arguments[3]) else {
  print("usage: ZeroCopyPeer SOCKET import|export HOLD [BYTES]")
  exit(64)
}

/// What is to come, from any place in a period on.
let period = 251
let expected = (0..<8192 + period).map { UInt8(($0 + 1) % period == 0 ? 10 : ($0 + 1) % period) }

func isRight(_ fragment: borrowing PayloadFragment, at offset: Int) throws -> Bool {
  try fragment.withBytes { bytes in
    unsafe bytes.withUnsafeBytes { received in
      unsafe expected.withUnsafeBytes { expected in
        unsafe memcmp(
          received.baseAddress!, expected.baseAddress! + offset % period, received.count) == 0
      }
    }
  }
}

/// A fragment in an array.
final class Held {
  let fragment: PayloadFragment
  init(_ fragment: consuming PayloadFragment) { self.fragment = fragment }
}

func say(_ byteCount: Int, over socket: UnixSocket) throws {
  _ = try socket.send(Array("\(byteCount)".utf8))
}

func receive(_ instance: ZeroCopyInstance, over socket: UnixSocket) throws -> Bool {
  var message = try socket.receive(byteLimit: 1, descriptorLimit: 1)
  guard let stream = message.descriptors.popFirst() else { return false }
  var receiver = try ZeroCopyReceiver(
    stream: stream, over: instance, configuration: .init(waits: false))
  var packet = receiver.makePacket()
  var held: [Held] = []
  var (byteCount, saidCount) = (0, 0)
  while true {
    switch try receiver.receive(into: &packet) {
    case .packet:
      let areRight = try instance.memory.withCPUAccess(.read) {
        while let fragment = packet.popFirstFragment() {
          guard try isRight(fragment, at: byteCount) else { return false }
          byteCount += fragment.byteCount
          held.append(Held(fragment))
        }
        return true
      }
      guard areRight else { return false }
      if held.count > holdCount { held.removeFirst(held.count - holdCount) }
    case .wouldBlock: _ = try receiver.wait(milliseconds: 1000)
    case .exhausted:
      if held.isEmpty { usleep(1000) }
      held.removeAll()
    case .endOfStream:
      held.removeAll()
      try receiver.replenish()
      try say(byteCount, over: socket)
      return true
    }
    if byteCount - saidCount > 128 << 10 {
      saidCount = byteCount
      try say(byteCount, over: socket)
    }
  }
}

do {
  let socket = try UnixSocket.connect(path: arguments[1])
  let instance: ZeroCopyInstance
  if arguments[2] == "import" {
    instance = try ZeroCopyInstance(importing: .receive(from: socket))
  } else {
    let memory = try DMABuf.udmabuf(byteCount: Int(arguments[4])!)
    instance = try ZeroCopyInstance(memory: memory, from: .anySocket)
    try instance.export().send(over: socket)
  }
  exit(try receive(instance, over: socket) ? 0 : 1)
} catch {
  let text = Array("\(error)\n".utf8)
  _ = unsafe write(STDERR_FILENO, text, text.count)
  exit(2)
}
