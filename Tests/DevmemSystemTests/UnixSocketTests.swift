// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@Suite struct UnixSocketTests {
  @Test(
    "bytes and a descriptor arrive together, the descriptor close-on-exec",
    arguments: [UnixSocket.Kind.sequencedPacket, .stream])
  func passes(kind: UnixSocket.Kind) throws {
    let (left, right) = try UnixSocket.pair(kind: kind)
    let file = try MemoryFile(name: "passed", byteCount: 4096)
    try left.send([1, 2, 3], descriptors: [file.descriptor.rawValue])
    var message = try right.receive(byteLimit: 8, descriptorLimit: 1)
    #expect(message.bytes == [1, 2, 3])
    let descriptor = message.descriptors.popFirst()!
    #expect(try descriptor.identity() == file.identity)
    #expect(fcntl(descriptor.rawValue, F_GETFD) == FD_CLOEXEC)
    #expect(message.descriptors.count == 0)
  }

  @Test("descriptors arrive in the order in which they were sent, up to the kernel's limit")
  func order() throws {
    let (left, right) = try UnixSocket.pair()
    let files = try (0..<3).map { try MemoryFile(name: "order", byteCount: 4096 * ($0 + 1)) }
    let numbers = (0..<UnixSocket.descriptorCountLimit).map {
      files[$0 % 3].descriptor.rawValue
    }
    try left.send([9], descriptors: numbers)
    var message = try right.receive(
      byteLimit: 1, descriptorLimit: UnixSocket.descriptorCountLimit)
    #expect(message.descriptors.count == numbers.count)
    for index in numbers.indices {
      let file = try MemoryFile(adopting: message.descriptors.popFirst()!)
      #expect(file.identity == files[index % 3].identity)
    }
    #expect(throws: Errno.EINVAL) { try left.send([9], descriptors: numbers + [numbers[0]]) }
    #expect(throws: Errno.EINVAL) { try left.send([], descriptors: [numbers[0]]) }
  }

  @Test("what does not fit is reported, and no descriptor stays open")
  func truncation() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try UnixSocket.pair()
      let file = try MemoryFile(name: "truncation", byteCount: 4096)
      let number = file.descriptor.rawValue
      let held = try ResourceCount.now()
      for (sent, limit, byteCount) in [(3, 2, 4), (1, 0, 4), (1, 1, 0), (4, 3, 1)] {
        try left.send([1, 2], descriptors: Array(repeating: number, count: sent))
        do throws(Errno) {
          _ = try right.receive(byteLimit: byteCount, descriptorLimit: limit)
          fatalError("\(sent) descriptors and 2 bytes fitted \(limit) and \(byteCount)")
        } catch {
          precondition(error == .EMSGSIZE)
        }
        let now = try ResourceCount.now()
        precondition(now == held, "a descriptor is left")
      }
      try left.send([1], descriptors: [number, number])
      do {
        var message = try right.receive(byteLimit: 1, descriptorLimit: 2)
        _ = message.descriptors.popFirst()
      }
      let now = try ResourceCount.now()
      precondition(now == held, "an untaken descriptor is left")
    }
  }

  @Test("a listener accepts who connects to its abstract name")
  func listens() throws {
    let name = "@devmem-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    let listener = try UnixSocket.listen(path: name)
    let client = try UnixSocket.connect(path: name)
    let server = try listener.accept()
    try client.send([5])
    #expect(try server.receive(byteLimit: 4).byteCount == 1)
    #expect(throws: Errno.EADDRINUSE) { _ = try UnixSocket.listen(path: name) }
    #expect(throws: Errno.ECONNREFUSED) { _ = try UnixSocket.connect(path: name + "-nobody") }
    #expect(throws: Errno.ENAMETOOLONG) {
      _ = try UnixSocket.connect(path: String(repeating: "x", count: 108))
    }
    #expect(throws: Errno.EINVAL) { _ = try client.accept() }
  }

  @Test("a peer that has gone is an end for the reader and EPIPE for the writer")
  func peerGone() throws {
    let left: UnixSocket
    do {
      let (first, second) = try UnixSocket.pair(kind: .stream)
      left = first
      try second.send([1])
    }
    #expect(try left.receive(byteLimit: 4).byteCount == 1)
    #expect(try left.receive(byteLimit: 4).byteCount == 0)
    #expect(throws: Errno.EPIPE) { try left.send([1]) }
  }

  @Test("descriptors that find no room in this process are EMFILE, and none is left")
  func fullTable() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try UnixSocket.pair()
      let file = try MemoryFile(name: "full", byteCount: 4096)
      let number = file.descriptor.rawValue
      let held = try ResourceCount.now()
      for room in 0...2 {
        try left.send([1], descriptors: [number, number, number])
        var fillers: [Int32] = []
        while true {
          let filler = dup(number)
          guard filler >= 0 else { break }
          fillers.append(filler)
        }
        for _ in 0..<room { close(fillers.removeLast()) }
        do throws(Errno) {
          _ = try right.receive(byteLimit: 1, descriptorLimit: 3)
          fatalError("three descriptors found room for \(room)")
        } catch {
          precondition(error == .EMFILE, "\(error)")
        }
        for filler in fillers { close(filler) }
        let now = try ResourceCount.now()
        precondition(now == held, "a descriptor is left")
      }
    }
  }

  /// A folder of its own, with a path in it.
  private func withPath(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/devmem-socket-XXXXXX".utf8CString)
    let folder = unsafe String(cString: mkdtemp(&template))
    defer {
      unsafe unlink(folder + "/socket")
      unsafe rmdir(folder)
    }
    try body(folder + "/socket")
  }

  @Test(
    "a socket file that nobody listens on is replaced; one with a listener, or another file, is not"
  )
  func stale() throws {
    try withPath { path in
      do { _ = try UnixSocket.listen(path: path) }
      #expect(unsafe access(path, F_OK) == 0)
      for kind in [UnixSocket.Kind.stream, .sequencedPacket] {
        let listener = try UnixSocket.listen(path: path, kind: kind)
        let client = try UnixSocket.connect(path: path, kind: kind)
        #expect(throws: Errno.EADDRINUSE) { _ = try UnixSocket.listen(path: path) }
        #expect(throws: Errno.EADDRINUSE) { _ = try UnixSocket.listen(path: path, kind: .stream) }
        _ = try listener.accept()
        withExtendedLifetime(client) {}
      }
      unsafe unlink(path)
      let file = unsafe creat(path, 0o600)
      #expect(throws: Errno.EADDRINUSE) { _ = try UnixSocket.listen(path: path) }
      close(file)
    }
  }

  @Test("of many who find the same stale file one listens, and the others are told")
  func staleRace() throws {
    try withPath { path in
      for _ in 0..<20 {
        do { _ = try UnixSocket.listen(path: path) }
        let workers = (0..<4).map { _ in Worker() }
        let results = (0..<4).map { _ in ListenerBox() }
        for (worker, box) in zip(workers, results) {
          worker.start { box.listener = try? UnixSocket.listen(path: path) }
        }
        for worker in workers {
          worker.run {}
          worker.stop()
        }
        #expect(results.count { $0.listener != nil } == 1)
      }
    }
  }

  private final class ListenerBox: @unchecked Sendable {
    // Written before the worker is idle, read after.
    var listener: UnixSocket?
  }

  @Test("a socket file is its owner's alone from the start, whatever the umask")
  func permissions() async {
    await #expect(processExitsWith: .success) {
      let path = "/tmp/devmem-mode-\(getpid())"
      umask(0)
      for (asked, expected) in [(nil, 0o600), (0o666, 0o666)] as [(UInt32?, UInt32)] {
        let listener =
          if let asked {
            try UnixSocket.listen(path: path, permissions: asked)
          } else {
            try UnixSocket.listen(path: path)
          }
        var status = stat()
        precondition(unsafe stat(path, &status) == 0 && status.st_mode & 0o777 == expected)
        let client = try UnixSocket.connect(path: path)
        let peer = try listener.accept().peer()
        precondition(peer.process == getpid() && peer.user == geteuid())
        precondition(peer.groups.first == getegid())
        withExtendedLifetime(client) {}
        unsafe unlink(path)
      }
    }
  }

  @Test("a path with a NUL is refused: C would take another one")
  func nul() {
    #expect(throws: Errno.EINVAL) { _ = try UnixSocket.listen(path: "/tmp/a\0b") }
    #expect(throws: Errno.EINVAL) { _ = try UnixSocket.connect(path: "/tmp/a\0b") }
    #expect(throws: Errno.EINVAL) { _ = try SystemFile.text(at: "/proc/self/stat\0us") }
    #expect(throws: Errno.EINVAL) { _ = try InterfaceNames.index(of: "lo\0x") }
  }
}
