// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc
import Synchronization
import Testing

@Suite struct SystemCallSeamTests {
  @Test("the N-th call of a name fails with the chosen errno, and no other")
  func nth() throws {
    let file = try MemoryFile(name: "nth", byteCount: 4096)
    SystemCallSeam.forcing(.EMFILE, on: .duplicate, occurrence: 2, times: 2) {
      #expect(throws: Never.self) { _ = try file.descriptor.duplicate() }
      #expect(throws: Errno.EMFILE) { _ = try file.descriptor.duplicate() }
      #expect(throws: Errno.EMFILE) { _ = try file.descriptor.duplicate() }
      #expect(throws: Never.self) { _ = try file.descriptor.duplicate() }
      #expect(throws: Never.self) { _ = try file.descriptor.identity() }
    }
    #expect(throws: Never.self) { _ = try file.descriptor.duplicate() }
  }

  @Test("an interrupted call is made again")
  func interrupted() throws {
    let file = try MemoryFile(name: "interrupted", byteCount: 4096)
    SystemCallSeam.forcing(.EINTR, on: .duplicate, times: 5) {
      #expect(throws: Never.self) { _ = try file.descriptor.duplicate() }
    }
  }

  @Test(
    "a time limit ends although signals interrupt the wait for ever, and a few of them do no harm")
  func interruptedWaits() throws {
    let listener = try TCPSocket.listen()
    let far = try TCPSocket.connect(port: listener.port)
    let near = try listener.accept()
    try SystemCallSeam.forcing(.EINTR, on: .wait, times: .max) {
      #expect(try !near.descriptor.wait(for: .readable, milliseconds: 20))
      #expect(try !NetlinkSocket().wait(milliseconds: 20))
      SystemProcess.pause(milliseconds: 5)
      var socket = try NetlinkSocket(timeLimit: 20)
      #expect(throws: NetlinkFailure.self) { try socket.family(named: "nlctrl") }
      #expect(throws: Errno.EAGAIN) { _ = try socket.receiveNotifications() }
    }
    try far.finishSending()
    try SystemCallSeam.forcing(.EINTR, on: .wait, times: 5) {
      let isReadable = try near.descriptor.wait(for: .readable, milliseconds: 10_000)
      #expect(isReadable)
    }
    try SystemCallSeam.forcing(.EINTR, on: .wait, times: 5) {
      let isReadable = try near.descriptor.wait(for: .readable, milliseconds: -1)
      #expect(isReadable)
    }
    try SystemCallSeam.forcing(.EINTR, on: .wait, times: 5) {
      var socket = try NetlinkSocket()
      #expect(try socket.family(named: "nlctrl").id == 16)
    }
  }

  @Test("calls are counted by name")
  func counting() throws {
    let counts = try SystemCallSeam.counting {
      let file = try MemoryFile(name: "counting", byteCount: 4096)
      _ = try file.mapPopulated()
    }
    #expect(
      counts == [
        .memoryFileCreate: 1, .memoryFileResize: 1, .identity: 1, .mapFile: 1, .populate: 1,
        .unmap: 1, .close: 1,
      ])
  }

  @Test("what is forced on one thread does not reach another")
  func threads() throws {
    let file = try MemoryFile(name: "threads", byteCount: 4096)
    let otherSucceeded = Atomic<Bool>(false)
    try SystemCallSeam.forcing(.EMFILE, on: .duplicate, times: 1000) {
      try withOtherThread {
        if (try? file.descriptor.duplicate().rawValue) != nil {
          otherSucceeded.store(true, ordering: .releasing)
        }
      }
      #expect(throws: Errno.EMFILE) { _ = try file.descriptor.duplicate() }
    }
    let succeeded = otherSucceeded.load(ordering: .acquiring)
    #expect(succeeded)
  }

  @Test("a forced close still closes")
  func forcedClose() async {
    await #expect(processExitsWith: .success) {
      let file = try MemoryFile(name: "close", byteCount: 4096)
      let number = fcntl(file.descriptor.rawValue, F_DUPFD_CLOEXEC, 500)
      SystemCallSeam.forcing(.EIO, on: .close) { _ = OwnedFileDescriptor(owning: number) }
      precondition(fcntl(number, F_GETFD) == -1)
    }
  }

  @Test("an errno that only a bug can cause traps", arguments: [Errno.EBADF, .EFAULT])
  func impossible(errno: Errno) async {
    // Exit tests take no captures, so both are tried in each.
    if errno == .EBADF {
      await #expect(processExitsWith: .failure) {
        let file = try MemoryFile(name: "bug", byteCount: 4096)
        try SystemCallSeam.forcing(.EBADF, on: .duplicate) { _ = try file.descriptor.duplicate() }
        exit(0)
      }
    } else {
      await #expect(processExitsWith: .failure) {
        let file = try MemoryFile(name: "bug", byteCount: 4096)
        try SystemCallSeam.forcing(.EFAULT, on: .identity) { _ = try file.descriptor.identity() }
        exit(0)
      }
    }
  }
}

/// Runs `body` on a thread of its own and waits for it.
private func withOtherThread(_ body: @escaping @Sendable () -> Void) throws {
  var thread = pthread_t()
  let box = unsafe Unmanaged.passRetained(Box(body))
  let status = unsafe pthread_create(
    &thread, nil,
    { pointer in
      unsafe Unmanaged<Box>.fromOpaque(pointer!).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  #expect(status == 0)
  pthread_join(thread, nil)
}

private final class Box: Sendable {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
