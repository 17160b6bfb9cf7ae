// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct TCPSocketTests {
  /// Both ends of a connection over loopback.
  private struct Connection: ~Copyable {
    let client: TCPSocket
    let server: TCPSocket

    init() throws(Errno) {
      let listener = try TCPSocket.listen()
      let near = try TCPSocket.connect(port: listener.port)
      server = try listener.accept()
      client = near
    }
  }

  @Test("one call gathers what it sends and scatters what it receives")
  func scatter() throws {
    let connection = try Connection()
    try connection.client.setNoDelay(true)
    let out = try MemoryMapping.anonymous(byteCount: 8192)
    for index in 0..<8192 { unsafe out.bytes[index] = UInt8(truncatingIfNeeded: index &* 7) }
    let gathered = [
      unsafe IOVector(baseAddress: out.baseAddress + 4096, byteCount: 100),
      unsafe IOVector(baseAddress: out.baseAddress, byteCount: 50),
    ]
    #expect(
      try unsafe gathered.withUnsafeBufferPointer { try connection.client.descriptor.send($0) }
        == 150)
    try connection.client.finishSending()

    let into = try MemoryMapping.anonymous(byteCount: 4096)
    let scattered = [
      unsafe IOVector(baseAddress: into.baseAddress + 1000, byteCount: 64),
      unsafe IOVector(baseAddress: into.baseAddress + 2000, byteCount: 200),
    ]
    let count = try unsafe scattered.withUnsafeBufferPointer {
      try connection.server.descriptor.receive(into: $0, waitsForAll: true)
    }
    #expect(count == 150)
    let received = unsafe Array(into.bytes[1000..<1064]) + Array(into.bytes[2000..<2086])
    let expected = unsafe Array(out.bytes[4096..<4196]) + Array(out.bytes[0..<50])
    #expect(received == expected)
    #expect(unsafe into.bytes[2086] == 0)
    #expect(
      try unsafe scattered.withUnsafeBufferPointer {
        try connection.server.descriptor.receive(into: $0)
      } == 0)
  }

  @Test("bytes of an array are sent as they are, none as well")
  func bytes() throws {
    let connection = try Connection()
    #expect(try connection.client.send([]) == 0)
    #expect(try connection.client.send([1, 2, 3]) == 3)
    let into = try MemoryMapping.anonymous(byteCount: 4096)
    let vector = unsafe IOVector(baseAddress: into.baseAddress, byteCount: 3)
    let count = try unsafe withUnsafePointer(to: vector) {
      unsafe try connection.server.descriptor.receive(
        into: UnsafeBufferPointer(start: $0, count: 1), waitsForAll: true)
    }
    #expect(count == 3)
    #expect(unsafe Array(into.bytes[0..<3]) == [1, 2, 3])
  }

  @Test("every zero-copy send is completed exactly once")
  func zerocopy() throws {
    let connection = try Connection()
    try connection.client.descriptor.setZerocopy(true)
    let file = try MemoryFile(name: "zerocopy", byteCount: 64 << 10)
    let memory = try file.mapPopulated()
    let into = try MemoryMapping.anonymous(byteCount: 64 << 10)
    let sendCount = 5
    for index in 0..<sendCount {
      unsafe memory.bytes[0] = UInt8(index)
      let vector = unsafe IOVector(baseAddress: memory.baseAddress, byteCount: memory.byteCount)
      let sent = try unsafe withUnsafePointer(to: vector) {
        unsafe try connection.client.descriptor.send(
          UnsafeBufferPointer(start: $0, count: 1), isZerocopy: true)
      }
      let target = unsafe IOVector(baseAddress: into.baseAddress, byteCount: sent)
      let received = try unsafe withUnsafePointer(to: target) {
        unsafe try connection.server.descriptor.receive(
          into: UnsafeBufferPointer(start: $0, count: 1), waitsForAll: true)
      }
      #expect(received == sent)
      #expect(unsafe into.bytes[0] == UInt8(index))
    }
    var next: UInt32 = 0
    while next < UInt32(sendCount) {
      #expect(try connection.client.descriptor.wait(for: .completion, milliseconds: 10_000))
      while let completion = try connection.client.descriptor.readCompletion() {
        #expect(completion.first == next)
        #expect(completion.last >= completion.first)
        next = completion.last + 1
      }
    }
    #expect(next == UInt32(sendCount))
    #expect(try connection.client.descriptor.readCompletion() == nil)
  }

  @Test("a zero-copy send from a hole in the address space is EFAULT, not a trap")
  func fault() throws {
    let connection = try Connection()
    try connection.client.descriptor.setZerocopy(true)
    let hole = try MemoryMapping.reserved(byteCount: 4096)
    let vector = unsafe IOVector(baseAddress: hole.baseAddress, byteCount: 4096)
    #expect(throws: Errno.EFAULT) {
      try unsafe withUnsafePointer(to: vector) {
        unsafe try connection.client.descriptor.send(
          UnsafeBufferPointer(start: $0, count: 1), isZerocopy: true)
      }
    }
  }

  @Test("nobody listening is ECONNREFUSED")
  func refused() throws {
    let port = try TCPSocket.listen().port
    #expect(throws: Errno.ECONNREFUSED) { _ = try TCPSocket.connect(port: port) }
  }

  @Test(
    "both families, a chosen address and port on either side, and one interface",
    arguments: [
      ("127.0.0.1", "127.0.0.2"), ("::1", "::1"), ("::", "::1"), ("::", "::ffff:127.0.0.1"),
    ])
  func families(local: String, remote: String) throws {
    let listener = try TCPSocket.listen(
      on: TCPEndpoint(address: local == "127.0.0.1" ? "0.0.0.0" : local, port: 0), interface: "lo")
    let port = listener.port
    #expect(port != 0)
    let from = TCPEndpoint(
      address: remote.contains(".")
        ? (remote.contains(":") ? "::ffff:127.0.0.3" : "127.0.0.3") : "::1",
      port: 0)
    let client = try TCPSocket.connect(
      to: TCPEndpoint(address: remote, port: port), from: from, interface: "lo")
    let server = try listener.accept()
    try client.finishSending()
    #expect(try server.descriptor.wait(for: .readable, milliseconds: 10_000))
  }

  @Test("an address that is none, and an interface that is not there, are refused")
  func refusals() throws {
    for text in ["localhost", "256.0.0.1", "", "::g"] {
      #expect(throws: Errno.EINVAL) {
        _ = try TCPSocket.listen(on: TCPEndpoint(address: text, port: 0))
      }
      #expect(throws: Errno.EINVAL) {
        _ = try TCPSocket.connect(to: TCPEndpoint(address: text, port: 9))
      }
    }
    #expect(throws: Errno.EADDRNOTAVAIL) {
      _ = try TCPSocket.listen(on: TCPEndpoint(address: "192.0.2.1", port: 0))
    }
    #expect(throws: Errno.ENODEV) {
      _ = try TCPSocket.listen(on: .loopback(port: 0), interface: "no-such-nic")
    }
  }

  @Test("a connection is ended without its descriptor: with a reset if something is unread")
  func endConnection() throws {
    for isUnread in [false, true] {
      let connection = try Connection()
      var byte: UInt8 = 1
      try unsafe withUnsafeMutablePointer(to: &byte) { byte in
        let vector = unsafe IOVector(baseAddress: byte, byteCount: 1)
        try unsafe withUnsafePointer(to: vector) { vector in
          let vectors = unsafe UnsafeBufferPointer(start: vector, count: 1)
          if isUnread {
            #expect(try connection.client.descriptor.send(vectors) == 1)
            #expect(try connection.server.descriptor.wait(for: .readable, milliseconds: 10_000))
          }
          try connection.server.descriptor.endConnection()
          #expect(try connection.client.descriptor.wait(for: .readable, milliseconds: 10_000))
          if isUnread {
            #expect(throws: Errno.ECONNRESET) {
              _ = try connection.client.descriptor.receive(into: vectors)
            }
          } else {
            #expect(try connection.client.descriptor.receive(into: vectors) == 0)
          }
        }
      }
    }
  }

  @Test("an interface's name that is empty, too long or cut by a NUL is not taken for another one")
  func interfaceNames() {
    for (name, errno) in [
      ("", Errno.ENODEV), ("lo\0", .EINVAL), (String(repeating: "x", count: 16), .ENODEV),
    ] {
      #expect(throws: errno) {
        _ = try TCPSocket.listen(on: .loopback(port: 0), interface: name)
      }
      #expect(throws: errno) {
        _ = try TCPSocket.connect(to: .loopback(port: 9), interface: name)
      }
    }
    #expect(throws: Errno.EINVAL) {
      _ = try TCPSocket.listen(on: TCPEndpoint(address: "::\0", port: 0))
    }
  }
}
