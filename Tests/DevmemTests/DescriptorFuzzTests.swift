// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Descriptors that somebody else says are memory.
@Suite struct DescriptorFuzzTests {
  /// A descriptor, and whether it may be taken for a memory file.
  private struct Candidate: ~Copyable {
    let descriptor: OwnedFileDescriptor
    let isMemory: Bool

    init(_ descriptor: consuming OwnedFileDescriptor, _ isMemory: Bool) {
      self.descriptor = descriptor
      self.isMemory = isMemory
    }

    consuming func take() -> OwnedFileDescriptor { descriptor }
  }

  /// One of many kinds.
  private static func descriptor(_ random: inout SeededGenerator) throws -> Candidate {
    func opened(_ path: String, _ flags: Int32) -> OwnedFileDescriptor {
      let number = unsafe open(path, flags | O_CLOEXEC)
      precondition(number >= 0, "\(path): \(errno)")
      return OwnedFileDescriptor(owning: number)
    }
    switch random.next() % 13 {
    case 0: return Candidate(opened("/dev/null", O_RDWR), false)
    case 1: return Candidate(opened("/", O_RDONLY), false)
    // O_PATH, which no call but fstat(2) works on.
    case 2: return Candidate(opened("/dev/zero", 0o10000000), false)
    case 3: return Candidate(opened("/proc/self/maps", O_RDONLY), false)
    case 4: return Candidate(try UnixSocket.pair().0.descriptor.duplicate(), false)
    case 5: return Candidate(try TCPSocket.listen().descriptor.duplicate(), false)
    case 6:
      var ends: [Int32] = [-1, -1]
      precondition(unsafe pipe(&ends) == 0)
      let isReader = random.next() & 1 == 0
      close(ends[isReader ? 1 : 0])
      return Candidate(OwnedFileDescriptor(owning: ends[isReader ? 0 : 1]), false)
    case 7: return Candidate(OwnedFileDescriptor(owning: ctest_epoll_make()), false)
    case 8:
      // A file on tmpfs, which is made of the same pages and cannot be sealed.
      return Candidate(opened("/dev/shm", O_RDWR | 0o20200000), false)
    case 12:
      // Memory that may only be read, where a mapping is for writing as well.
      let file = try MemoryFile(name: "read", byteCount: 4096)
      try file.addSeals(.deviceMemory)
      return Candidate(opened("/proc/self/fd/\(file.descriptor.rawValue)", O_RDONLY), false)
    case 9, 10:
      // Seals of all kinds; only one that cannot shrink will do.
      let file = try MemoryFile(
        name: "sealed", byteCount: 4096 * Int(1 + random.next() % 4))
      let mayShrink = random.next() & 1 == 0
      if !mayShrink { try file.addSeals(.deviceMemory) }
      return Candidate(try file.descriptor.duplicate(), !mayShrink)
    default:
      let file = try MemoryFile(name: "empty", byteCount: 4096)
      precondition(ftruncate(file.descriptor.rawValue, 0) == 0)
      try file.addSeals(.shrink)
      return Candidate(try file.descriptor.duplicate(), false)
    }
  }

  @Test("what is no memory is refused, what is can be read, and no descriptor stays")
  func importing() async {
    await #expect(processExitsWith: .success) {
      let held = try ResourceCount.now()
      try Fuzzing.forEach(orElse: 3000) { random in
        let candidate = try Self.descriptor(&random)
        let isMemory = candidate.isMemory
        let descriptor = candidate.take()
        let isDMABuf = random.next() & 3 == 0
        do {
          let buffer =
            try isDMABuf ? DMABuf.imported(descriptor) : DMABuf.importedMemoryFile(descriptor)
          precondition(isMemory && !isDMABuf, "taken for memory")
          try buffer.withBytes(.read) { bytes in
            for offset in stride(from: 0, to: bytes.count, by: 512) {
              precondition(unsafe bytes[offset] == 0)
            }
          }
        } catch let error as DevmemError {
          precondition(!isMemory || isDMABuf, "refused: \(error)")
          let expected: [DevmemError.Code] = [.notADMABuf, .sealRefused, .permissionDenied]
          precondition(expected.contains(error.code), "\(error)")
        }
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }

  @Test("tokens that nobody gave out bring nothing back, and change nothing")
  func tokens() throws {
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let pool = try PagePool(provider: provider)
    var mine: [NetmemToken] = []
    for _ in 0..<16 {
      guard let netmem = pool.allocate() else { break }
      mine.append(netmem.share().detach())
      mine.append(netmem.detach())
    }
    let before = pool.inFlight
    Fuzzing.forEach(orElse: 20_000) { random in
      var raw = mine[Int(random.next() % UInt64(mine.count))].rawValue
      switch random.next() % 3 {
      case 0: raw ^= 1 << (random.next() & 63)
      case 1: raw = random.edge()
      default: raw = raw &+ random.edge()
      }
      let token = NetmemToken(rawValue: raw)
      if mine.contains(token) { return }
      do throws(NetmemTokenError) {
        _ = try pool.reclaim(token)
        Issue.record("\(raw) was taken for a token")
      } catch {}
    }
    #expect(pool.inFlight == before)
    for token in mine { _ = try pool.reclaim(token) }
    #expect(pool.inFlight.held == 0)
  }
}
