// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc
import Testing

@Suite struct OwnedFileDescriptorTests {
  @Test("a descriptor is close-on-exec and closed when its owner ends")
  func closes() async {
    // A process of its own and a number that nobody else gets: another thread would take a low one.
    await #expect(processExitsWith: .success) {
      let file = try MemoryFile(name: "closes", byteCount: 4096)
      let number = fcntl(file.descriptor.rawValue, F_DUPFD_CLOEXEC, 500)
      do {
        let owner = OwnedFileDescriptor(owning: number)
        precondition(fcntl(owner.rawValue, F_GETFD) == FD_CLOEXEC)
        precondition(fcntl(file.descriptor.rawValue, F_GETFD) == FD_CLOEXEC)
      }
      precondition(fcntl(number, F_GETFD) == -1 && errno == EBADF)
    }
  }

  @Test("a duplicate is another number of the same file, close-on-exec")
  func duplicates() throws {
    let file = try MemoryFile(name: "duplicates", byteCount: 4096)
    let copy = try file.descriptor.duplicate()
    #expect(copy.rawValue != file.descriptor.rawValue)
    #expect(try copy.identity() == file.identity)
    #expect(fcntl(copy.rawValue, F_GETFD) == FD_CLOEXEC)
  }

  @Test("a released descriptor stays open")
  func releases() throws {
    let copy = try MemoryFile(name: "releases", byteCount: 4096).descriptor.duplicate()
    let number = copy.release()
    #expect(fcntl(number, F_GETFD) == FD_CLOEXEC)
    #expect(close(number) == 0)
  }

  @Test("closing a descriptor that somebody else has closed traps")
  func trapsOnForeignClose() async {
    await #expect(processExitsWith: .failure) {
      let file = try MemoryFile(name: "traps", byteCount: 4096)
      let owner = OwnedFileDescriptor(
        owning: fcntl(file.descriptor.rawValue, F_DUPFD_CLOEXEC, 500))
      close(owner.rawValue)
    }
  }
}
