// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@testable import devmemctl

/// What one end of the importer's socket makes of nonsense from the other: no trap, no wait without
/// end, no descriptor left, and nothing given back that was not out.
@Suite struct ImporterFuzzTests {
  /// A message as it should be, or nearly.
  private static func message(
    _ random: inout SeededGenerator, _ kinds: [FragmentMessage]
  ) -> [UInt8] {
    let kind = kinds[Int(random.next() % UInt64(kinds.count))]
    let count = Int(random.next() % 5)
    var message = MessageBuffer()
    message.begin()
    for _ in 0..<count {
      switch kind {
      case .batch:
        message.append(
          FragmentEntry(
            token: random.next(), offset: random.next() & 1 == 0 ? random.edge() : 0,
            byteCount: UInt32(truncatingIfNeeded: random.next() & 1 == 0 ? random.edge() : 64)))
      case .tokens: message.append(random.next() & 1 == 0 ? random.next() % 4 : random.edge())
      default: message.append(random.next())
      }
    }
    let counted = random.next() & 7 == 0 ? random.edge() : UInt64(count)
    var header = MessageHeader(kind, count: 0, flag: UInt32(truncatingIfNeeded: random.next() & 1))
    header.count = UInt32(truncatingIfNeeded: counted)
    message.finish(header)
    // The header of a message is what a pair of sockets gives back of it.
    var bytes = unsafe withUnsafeBytes(of: header) { unsafe Array($0) } + message.payload
    if random.next() & 3 == 0 { random.damage(&bytes) }
    return random.next() & 31 == 0 ? random.bytes(upTo: 64) : bytes
  }

  private static let all: [FragmentMessage] = [
    .hello, .ready, .batch, .batch, .batch, .tokens, .tokens, .finish, .answer, .failure,
  ]

  @Test("a reader of fragments takes what makes sense, and refuses the rest")
  func toReader() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.memoryFile(byteCount: 1 << 16)
      let held = try ResourceCount.now()
      Fuzzing.forEach(orElse: 5000) { random in
        guard let (near, far) = try? UnixSocket.pair() else { fatalError("no sockets") }
        var hello = MessageBuffer()
        hello.begin()
        hello.finish(MessageHeader(.hello, count: 0))
        do {
          try buffer.sendDescriptor(over: near, message: hello.bytes)
          for _ in 0...(random.next() & 3) {
            let bytes = Self.message(&random, Self.all)
            // An empty message is the end.
            if !bytes.isEmpty { _ = try? near.send(bytes) }
          }
          shutdown(near.descriptor.rawValue, Int32(SHUT_WR))
          // Ends at a finish or with an error, never by waiting: there is an end of what comes.
          var reader = try FragmentReader(over: far)
          while try reader.readBatch({ bytes in
            // A page that is not there is a trap.
            if bytes.byteCount > 0 { _ = bytes.integer(at: bytes.byteCount - 1, as: UInt8.self) }
          }) {}
        } catch {}
        withExtendedLifetime(near) {}
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }

  @Test("a lender takes back what it lent, each buffer once, whatever the reader says")
  func toLender() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.memoryFile(byteCount: 1 << 16)
      let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
      let held = try ResourceCount.now()
      Fuzzing.forEach(orElse: 5000) { random in
        guard let (near, far) = try? UnixSocket.pair(),
          let lender = try? FragmentLender(buffer, over: near, reclaim: pool.reclaim)
        else { fatalError("no sockets") }
        let out = Int(random.next() % 4)
        for _ in 0..<out { lender.lend(pool.allocate()!) }
        guard (try? lender.flush()) == true else { fatalError("a batch did not go out") }
        for _ in 0...(random.next() & 3) {
          let bytes = Self.message(&random, Self.all)
          if !bytes.isEmpty { _ = try? far.send(bytes) }
        }
        shutdown(far.descriptor.rawValue, Int32(SHUT_RDWR))
        var code: DevmemError.Code?
        // Ends with the reader at the latest, however little sense it made before.
        while code != .peerClosed {
          do throws(DevmemError) { try lender.collect() } catch { code = error.code }
        }
        precondition(lender.lentCount == 0 && pool.inFlight.held == 0, "\(pool.inFlight)")
        withExtendedLifetime(far) {}
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }

  /// Descriptors that are no memory, or the wrong one.
  private static func descriptors() throws -> [Int32] {
    var ends: [Int32] = [-1, -1]
    precondition(unsafe pipe(&ends) == 0)
    let memory = try MemoryFile(name: "empty", byteCount: 4096).descriptor.duplicate()
    let sealed = try DMABuf.memoryFile(byteCount: 1 << 16).duplicateDescriptor()
    return [
      ends[0], ends[1], unsafe open("/dev/null", O_RDWR), unsafe open("/", O_RDONLY),
      unsafe open("/proc/self/status", O_RDONLY), unsafe open("/", O_RDONLY | 0o10000000),
      socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), dup(memory.rawValue),
      dup(sealed.rawValue),
    ]
  }

  @Test("an importer's first message may have any descriptor, or none, and any sense")
  func hello() async {
    await #expect(processExitsWith: .success) {
      let numbers = try Self.descriptors()
      precondition(!numbers.contains { $0 < 0 })
      let held = try ResourceCount.now()
      Fuzzing.forEach(orElse: 3000) { random in
        guard let (near, far) = try? UnixSocket.pair() else { fatalError("no sockets") }
        let count = [0, 1, 1, 1, 1, 1, 2, 5][Int(random.next() & 7)]
        let sent = (0..<count).map { _ in numbers[Int(random.next() % UInt64(numbers.count))] }
        let bytes = Self.message(&random, [.hello, .hello, .hello, .hello] + Self.all)
        _ = try? near.send(bytes.isEmpty ? [0] : bytes, descriptors: sent)
        let next = Self.message(&random, Self.all)
        if !next.isEmpty { _ = try? near.send(next) }
        shutdown(near.descriptor.rawValue, Int32(SHUT_WR))
        _ = try? ImporterCommand.serve(far)
        withExtendedLifetime(near) {}
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }

  @Test("the process that keeps a card goes on until it hears its word, or the end")
  func word() async {
    await #expect(processExitsWith: .success) {
      let numbers = try Self.descriptors()
      let held = try ResourceCount.now()
      Fuzzing.forEach(orElse: 3000) { random in
        guard let (near, far) = try? UnixSocket.pair() else { fatalError("no sockets") }
        for _ in 0...(random.next() & 3) {
          var bytes = random.next() & 1 == 0 ? Array("restore".utf8) : random.bytes(upTo: 100)
          if random.next() & 1 == 0 { random.damage(&bytes) }
          let sent = random.next() & 3 == 0 ? [numbers[0]] : []
          if !bytes.isEmpty { _ = try? near.send(bytes, descriptors: sent) }
        }
        shutdown(near.descriptor.rawValue, Int32(SHUT_WR))
        NICGuardCommand.waitForWord(far)
        withExtendedLifetime(near) {}
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }

  @Test("what is asked of a card comes as a line of text, and any other is refused")
  func answers() async {
    await #expect(processExitsWith: .success) {
      let patience = PeerWait(name: "the guard", limit: 60)
      let words = ["ready", "ready\nlo takes no rules", "restored", "error it is broken", "\n"]
      let held = try ResourceCount.now()
      Fuzzing.forEach(orElse: 3000) { random in
        guard let (near, far) = try? UnixSocket.pair() else { fatalError("no sockets") }
        var bytes = Array(words[Int(random.next() % UInt64(words.count))].utf8)
        if random.next() & 1 == 0 { random.damage(&bytes) }
        if !bytes.isEmpty { _ = try? far.send(bytes) }
        shutdown(far.descriptor.rawValue, Int32(SHUT_WR))
        _ = try? NICGuard.answer(near, patience, isInterruptible: false)
        withExtendedLifetime(far) {}
      }
      let after = try ResourceCount.now()
      precondition(after == held, "\(held), then \(after)")
    }
  }
}
