// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Every errno on every system call that needs no device: the right error, and nothing left behind.
@Suite struct ForcedErrnoTests {
  @Test("memory files and mappings leave nothing behind, whichever call fails")
  func memory() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let file = try MemoryFile(name: "forced", byteCount: 8192)
        let mapping = try file.mapPopulated(node: NUMANode.available()[0])
        try file.addSeals()
        _ = try file.seals()
        let copy = try MemoryFile(adopting: file.descriptor.duplicate())
        var pieces = try MemoryMapping.reserved(byteCount: 8192)
        try unsafe pieces.map(copy.descriptor, offset: 0, byteCount: 8192, at: 0)
        _ = try MemoryMapping.anonymous(byteCount: 4096)
        _ = try mapping.canBePinned()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("Unix sockets leave nothing behind, whichever call fails")
  func unixSockets() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let (left, right) = try UnixSocket.pair()
        let name = "@devmem-forced-\(UInt64.random(in: 0...UInt64.max))"
        let listener = try UnixSocket.listen(path: name)
        let client = try UnixSocket.connect(path: name)
        let server = try listener.accept()
        try client.send([1])
        try left.send([1], descriptors: [right.descriptor.rawValue, left.descriptor.rawValue])
        _ = try server.peer()
        _ = try server.receive(byteLimit: 8)
        var message = try right.receive(byteLimit: 8, descriptorLimit: 2)
        _ = message.descriptors.popFirst()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("TCP sockets leave nothing behind, whichever call fails")
  func tcpSockets() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let listener = try TCPSocket.listen()
        let client = try TCPSocket.connect(port: listener.port)
        let server = try listener.accept()
        try client.setNoDelay(true)
        try client.descriptor.setZerocopy(true)
        try client.setSendBuffer(byteCount: 65536)
        try server.setReceiveBuffer(byteCount: 65536)
        try unsafe withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { bytes in
          let vector = unsafe [IOVector(baseAddress: bytes.baseAddress, byteCount: 16)]
          try unsafe vector.withUnsafeBufferPointer { vectors in
            _ = try client.descriptor.send(vectors)
            _ = try server.descriptor.wait(for: .readable, milliseconds: 10_000)
            _ = try server.descriptor.receive(into: vectors)
          }
        }
        _ = try client.descriptor.readCompletion()
        try client.finishSending()
        try server.descriptor.setBlocking(false)
        let local = TCPEndpoint(address: "::1", port: 0)
        let sixth = try TCPSocket.listen(on: local)
        let peer = try TCPSocket.connect(
          to: TCPEndpoint(address: "::1", port: sixth.port), from: local, interface: "lo")
        try peer.descriptor.endConnection()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("a poll of many descriptors leaves nothing behind, whichever call fails")
  func eventPoll() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let (left, right) = try UnixSocket.pair()
        let poll = try EventPoll()
        try poll.add(right.descriptor.rawValue)
        try left.send([1])
        var ready: [Int32] = []
        try poll.wait(into: &ready)
        try poll.remove(right.descriptor.rawValue)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("device memory's socket calls leave nothing behind, whichever fails")
  func devmemSockets() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      // What a kernel without device memory says, and what one says that has nothing bound.
      let expected: [SystemCall: [Errno]] = [
        .devmemReturnTokens: [.ENOPROTOOPT], .devmemSend: [.EINVAL],
      ]
      ForcedErrnos.printVerdict(
        tolerates: { expected[$0.call]?.contains($0.errno) == true },
        of: {
          let listener = try TCPSocket.listen()
          let client = try TCPSocket.connect(port: listener.port)
          let server = try listener.accept()
          try client.descriptor.setZerocopy(true)
          var control = DMABufControl(capacity: 4)
          try unsafe withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { bytes in
            let vector = unsafe [IOVector(baseAddress: bytes.baseAddress, byteCount: 16)]
            try unsafe vector.withUnsafeBufferPointer { vectors in
              _ = try client.descriptor.send(vectors)
              _ = try server.descriptor.wait(for: .readable, milliseconds: 10_000)
              _ = try control.receive(
                from: server.descriptor, into: vectors, messageLimit: 4, waits: true)
              do throws(Errno) {
                _ = try client.descriptor.sendDevmem(vectors, bindingID: .max)
              } catch { if error != .EINVAL { throw error } }
            }
          }
          let none = [DMABufTokenRange(first: 0, count: 0)]
          do throws(Errno) {
            try unsafe none.withUnsafeBufferPointer { ranges throws(Errno) in
              _ = try server.descriptor.devmemDontNeed(ranges)
            }
          } catch { if error != .ENOPROTOOPT { throw error } }
        })
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("questions to /proc leave nothing behind, whichever call fails")
  func questions() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      // Without /proc a dma-buf is asked itself: its is the second file, the first that is read.
      ForcedErrnos.printVerdict(tolerates: { forced in
        forced.errno == .ENOENT
          && (forced.call == .open && forced.occurrence == 2
            || forced.call == .read && forced.occurrence <= 2)
      }) {
        let file = try MemoryFile(name: "forced", byteCount: 4096)
        let mapping = try file.mapPopulated()
        _ = try unsafe PageMap().entries(of: mapping.baseAddress, pageCount: 1)
        _ = try SystemFile.names(in: "/proc/self/fdinfo")
        _ = try DMABufDescriptor(file.descriptor.duplicate()).information()
        _ = try SystemProcess.kernelRelease()
        _ = try SystemProcess.openFileLimit()
        _ = try SystemProcess.lockedByteLimit()
        _ = try SystemProcess.availableMemoryByteCount()
        try SystemProcess.setProcessor(0)
        try SystemProcess.setEffectiveUser(SystemProcess.effectiveUser)
        if NUMANode.isSupported {
          _ = try NUMANode.available()[0].memory()
          _ = try unsafe NUMANode.node(of: mapping.baseAddress)
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("looking up and connecting without a wait leave nothing behind, whichever call fails")
  func connecting() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let listener = try TCPSocket.listen()
        let endpoint = try TCPEndpoint.resolve("127.0.0.1", port: listener.port)[0]
        let socket = try OwnedFileDescriptor.beginConnecting(to: endpoint)
        _ = try socket.wait(for: .writable, milliseconds: 1000)
        try socket.finishConnecting()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("starting a program leaves nothing behind, whichever call fails")
  func spawning() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      ForcedErrnos.printVerdict {
        let (near, far) = try UnixSocket.pair()
        let child = try SystemProcess.spawn("/bin/true", ["true"], passing: far.descriptor, as: 3)
        waitpid(child, nil, 0)
        withExtendedLifetime(near) {}
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
