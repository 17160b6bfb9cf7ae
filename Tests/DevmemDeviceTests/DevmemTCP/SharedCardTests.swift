// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Synchronization
import Testing

/// Two receivers share a card, and start, end and are killed in any order: other connections notice
/// nothing, and the card is as it was found when the last one has gone.
@Suite("devmem TCP: a card with several owners", .onDevmemSim, .serialized)
struct SharedCardTests {
  /// Another one each time; a failure names it.
  static let seed =
    ProcessInfo.processInfo.environment["DEVMEM_SEED"].flatMap(UInt64.init)
    ?? UInt64.random(in: 0...UInt64.max)
  /// As many as a run of the device tier has time for; more for a day of their own.
  static let count =
    ProcessInfo.processInfo.environment["DEVMEM_ORDERS"].flatMap(Int.init) ?? 200

  /// One receiver, in a process of its own.
  private enum Owner: CustomStringConvertible {
    /// A user of the library: nobody puts back what it leaves when it is killed.
    case library(pid_t, queue: UInt32)
    /// `devmemctl`, whose second process does.
    case command(DevmemctlProcess, verb: String, queue: UInt32)

    var queue: UInt32 {
      switch self {
      case .library(_, let queue), .command(_, _, let queue): queue
      }
    }

    var description: String {
      switch self {
      case .library(_, let queue): "library on \(queue)"
      case .command(_, let verb, let queue): "\(verb) on \(queue)"
      }
    }
  }

  /// Makes owners and ends them.
  private final class Owners {
    private let tool: ToolProcess
    private let input = Pipe()
    private let output = Pipe()

    init() throws {
      tool = try ToolProcess(
        DevmemctlProcess.executable.deletingLastPathComponent()
          .appendingPathComponent("DevmemCardOwner"),
        [DevmemSim.here.interface], standardInput: input.fileHandleForReading,
        standardOutput: output.fileHandleForWriting)
      try input.fileHandleForReading.close()
      try output.fileHandleForWriting.close()
    }

    func library(_ queue: UInt32, port: UInt16) throws -> Owner {
      .library(try ask("start \(queue) \(port)"), queue: queue)
    }

    func command(_ verb: String, _ queue: UInt32, port: UInt16) throws -> Owner {
      let name = DevmemSim.here.interface
      let arguments =
        verb == "bind"
        ? ["netdev", "bind", name, "--bytes", "1M"]
        : ["recv", "--interface", name, "--buffer-size", "1M"]
      return .command(
        try DevmemctlProcess(arguments + ["--queues", "\(queue)", "--port", "\(port)"]),
        verb: verb, queue: queue)
    }

    /// The exit status; for one that was killed, the signal's number + 128.
    func end(_ owner: Owner, killing: Bool) throws -> Int32 {
      switch owner {
      case .library(let process, _):
        kill(process, killing ? SIGKILL : SIGUSR1)
        return try ask("wait \(process)")
      case .command(let command, _, _):
        kill(command.process.processIdentifier, killing ? SIGKILL : SIGTERM)
        return try command.wait().status
      }
    }

    func isRunning(_ owner: Owner) -> Bool {
      switch owner {
      case .library(let process, _):
        // A zombie until it is waited for.
        (try? SystemFile.text(at: "/proc/\(process)/stat"))?.contains(") Z ") == false
      case .command(let command, _, _): command.process.isRunning
      }
    }

    func stop() throws -> ToolProcess.Output {
      try input.fileHandleForWriting.close()
      return try tool.wait()
    }

    private func ask(_ command: String) throws -> Int32 {
      try input.fileHandleForWriting.write(contentsOf: Data((command + "\n").utf8))
      let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
      return try #require(Int32(line.dropLast()), "\(command): \(line)")
    }
  }

  /// Waits until the owner has memory bound, or has ended.
  private func waitUntilBound(
    _ owner: Owner, _ owners: Owners, _ card: NetworkInterface
  ) throws {
    var family = try NetdevFamily()
    while owners.isRunning(owner),
      try family.queue(.receive, owner.queue, of: card).dmabufID == nil
    {
      usleep(2000)
    }
  }

  private func waitUntil(_ card: NetworkInterface, is before: NICSnapshot) throws -> Bool {
    for _ in 0..<5000 {
      if try NICSnapshot(of: card) == before { return true }
      usleep(4000)
    }
    return false
  }

  @Test(
    "random orders of start, end and SIGKILL reset no connection, and leave nothing changed",
    arguments: [seed])
  func orders(seed: UInt64) throws {
    print("seed \(seed): DEVMEM_SEED=\(seed) repeats it")
    let card = try SimulatedNIC().interface
    let before = try NICSnapshot(of: card)
    var generator = SeededGenerator(seed: seed)
    let traffic = try #require(
      try OrdinaryTraffic.overAllQueues(of: card), "else the test could not fail")
    let owners = try Owners()
    let pin = try MemoryProviderPin()
    for number in 1...Self.count {
      // devmemctl takes seconds to start on an emulated processor.
      let story = try order(&generator, card, owners, isCommand: number % 50 == 0)
      #expect(try waitUntil(card, is: before), "seed \(seed), order \(number): \(story)")
      #expect(traffic.problems.isEmpty, "seed \(seed), order \(number): \(story)")
      guard traffic.problems.isEmpty, try NICSnapshot(of: card) == before else { break }
    }
    let output = try owners.stop()
    #expect(output.status == 0 && output.standardError.isEmpty, "\(output.standardError)")
    try traffic.end()
    try pin.end()
    #expect(traffic.problems.isEmpty)
    #expect(traffic.exchanges > 5 * Self.count)
    #expect(try NICSnapshot(of: card) == before)
  }

  /// Two owners; the second one may start before the first has ended, or only then; either may be
  /// killed at any moment, also while it sets the card up.
  ///
  /// - Returns: what has happened.
  private func order(
    _ generator: inout SeededGenerator, _ card: NetworkInterface, _ owners: Owners,
    isCommand: Bool
  ) throws -> String {
    var story: [String] = []
    var running: [(Owner, isBound: Bool)] = []
    let queues: [UInt32] = Bool.random(using: &generator) ? [2, 3] : [3, 2]
    func start(_ index: Int) throws {
      // Now and then both want the same queue, and the kernel refuses the second.
      let queue = Int.random(in: 0..<12, using: &generator) == 0 ? queues[0] : queues[index]
      let port = 5300 + UInt16(index)
      let verb = Bool.random(using: &generator) ? "bind" : "recv"
      let owner =
        isCommand && Bool.random(using: &generator)
        ? try owners.command(verb, queue, port: port) : try owners.library(queue, port: port)
      var text = "start \(owner)"
      let waits = Int.random(in: 0..<3, using: &generator) > 0
      if waits {
        try waitUntilBound(owner, owners, card)
      } else {
        let delay = UInt32.random(in: 0..<100_000, using: &generator)
        usleep(delay)
        text += " for \(delay) µs"
      }
      story.append(text)
      running.append((owner, waits))
    }
    var isAbandoned = false
    func end() throws {
      let (owner, isBound) = running.remove(
        at: Int.random(in: 0..<running.count, using: &generator))
      let isKilled = Bool.random(using: &generator)
      let status = try owners.end(owner, killing: isKilled)
      story.append("\(isKilled ? "kill" : "end") \(owner): \(status)")
      switch owner {
      case .library:
        // One that ends in order takes out what others have left.
        isAbandoned = isKilled
        // 3: somebody else had the queue.
        #expect(isKilled || status == 0 || status == 3, "\(story)")
      case .command(_, let verb, _):
        // So does devmemctl, if it had come as far as to set the card up.
        if isBound { isAbandoned = false }
        if verb == "bind", isBound, !isKilled { #expect(status <= 1, "\(story)") }
      }
    }
    try start(0)
    if Int.random(in: 0..<4, using: &generator) == 0 { try end() }
    try start(1)
    while !running.isEmpty { try end() }
    // Nobody is left who would do it: the next one would, or who is told to.
    if isAbandoned { try NICSetup.restoreAbandoned(on: card) }
    return story.joined(separator: ", ")
  }

  @Test("any order of ends within one process gives each one's queues back, the last one the rest")
  func oneProcess() throws {
    let card = try SimulatedNIC().interface
    let before = try NICSnapshot(of: card)
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      let setups = try [UInt32](1...3).map {
        try NICSetup(
          card, queues: [$0],
          rules: [SteeringRule(.tcp4, destination: .init(port: 5300 + UInt16($0)), queue: $0)])
      }
      #expect(Set(try NICSnapshot(of: card).rss.indirection) == [0])
      var left: Set<UInt32> = [1, 2, 3]
      for index in order {
        try setups[index].restore()
        left.remove(UInt32(index) + 1)
        let now = try NICSnapshot(of: card)
        #expect(Set(now.rss.indirection) == Set(0...3).subtracting(left))
        #expect(now.rules.count == before.rules.count + left.count)
        #expect(now.rings.dataSplit == (left.isEmpty ? before.rings.dataSplit : .enabled))
      }
      #expect(try NICSnapshot(of: card) == before)
    }
  }

  @Test("a queue that a program without a record has bound gets no other traffic either")
  func unknownOwner() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let setup = try NICSetup(nic.interface, queues: [3])
    // As a program does whose /run is another one: no record, but the kernel's list.
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2])
    let second = try NICSetup(nic.interface, queues: [1])
    #expect(Set(try NICSnapshot(of: nic.interface).rss.indirection) == [0])
    try second.restore()
    #expect(Set(try NICSnapshot(of: nic.interface).rss.indirection) == [0, 1])
    let error = try #require(nic.error { () throws(DevmemError) in try setup.restore() })
    #expect(error.code == .notRestored)
    #expect(Set(try NICSnapshot(of: nic.interface).rss.indirection) == [0, 1, 3])
    binding.close()
    try setup.restore()
    #expect(try NICSnapshot(of: nic.interface) == before)
  }
}

/// Memory that stays bound to the other end's last queue. With the first binding of a machine the
/// kernel patches its page pools' code (`page_pool_mem_providers`, a static key), with the last one
/// back; and while packets flow on the other processor, an emulated one then and now executes the
/// half of it, and the kernel ends with "int3".
private final class MemoryProviderPin {
  private let setup: NICSetup
  private let binding: NetdevBinding

  init() throws {
    (setup, binding) = try DevmemSim.atPeer {
      let card = try NetworkInterface(named: DevmemSim.peer.interface)
      let setup = try NICSetup(card, queues: [3])
      let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
      return (setup, try NetdevBinding.receive(buffer, interface: card, queues: [3]))
    }
  }

  func end() throws {
    binding.close()
    try setup.restore()
  }
}

/// Connections that have nothing to do with device memory: what the peer sends comes back, all the
/// time, over many of them.
private final class OrdinaryTraffic: Sendable {
  private struct State {
    var problems: [String] = []
    var exchanges = 0
    var isEnding = false
  }
  private let state = Mutex(State())
  private let listener: SharedTCPSocket
  private let job: Mutex<PeerJob<Void>?>
  private let port: UInt16
  private let noSignal = Int32(MSG_NOSIGNAL)
  private let wholeMessage = Int32(MSG_WAITALL)

  /// The card's hash has a new key each time: 16 connections miss one of four queues in 4 of 100.
  static func overAllQueues(of card: NetworkInterface) throws -> OrdinaryTraffic? {
    for port in UInt16(5290)..<5300 {
      let traffic = try OrdinaryTraffic(connections: 16, port: port)
      if try traffic.reachesAllQueues(of: card) { return traffic }
      try traffic.end()
    }
    return nil
  }

  init(connections: Int, port: UInt16) throws {
    let listener = SharedTCPSocket(
      try .listen(
        on: TCPEndpoint(address: DevmemSim.here.ipv4, port: port), backlog: connections))
    self.listener = listener
    self.port = port
    job = Mutex(nil)
    Thread.detachNewThread { [self] in
      for _ in 0..<connections {
        guard let socket = try? SharedTCPSocket(listener.socket.accept())
        else { return note("accepting failed") }
        Thread.detachNewThread { [self] in echo(socket) }
      }
    }
    job.withLock {
      $0 = PeerJob { [self] in
        let endpoint = TCPEndpoint(address: DevmemSim.here.ipv4, port: port)
        let sockets = try (0..<connections).map { _ in
          SharedTCPSocket(try .connect(to: endpoint))
        }
        var round: UInt8 = 0
        while !state.withLock({ $0.isEnding }) {
          round &+= 1
          for (index, socket) in sockets.enumerated() { exchange(socket, index, round) }
          // Leaves the machine, which is emulated as a rule, to the others.
          usleep(80_000)
        }
        for socket in sockets { try socket.finishSending() }
      }
    }
  }

  var problems: [String] { state.withLock { $0.problems } }
  var exchanges: Int { state.withLock { $0.exchanges } }

  func end() throws {
    state.withLock { $0.isEnding = true }
    try job.withLock { try $0?.join() }
  }

  /// Whether each receive queue gets some of it.
  func reachesAllQueues(of card: NetworkInterface) throws -> Bool {
    var family = try NetdevFamily()
    func packets() throws -> [UInt32: UInt64] {
      var counts: [UInt32: UInt64] = [:]
      for entry in try family.queueStatistics(of: card, perQueue: true) {
        guard let queue = entry.queue, queue.kind == .receive else { continue }
        counts[queue.id] = entry.receivePackets ?? 0
      }
      return counts
    }
    let before = try packets()
    for _ in 0..<200 {
      usleep(20_000)
      let now = try packets()
      if !now.isEmpty, now.allSatisfy({ $0.value > before[$0.key] ?? 0 }) { return true }
      if !problems.isEmpty { return false }
    }
    return false
  }

  private func note(_ problem: String) {
    state.withLock { if $0.problems.count < 10 { $0.problems.append(problem) } }
  }

  /// At the peer.
  private func exchange(_ socket: SharedTCPSocket, _ index: Int, _ round: UInt8) {
    let bytes = [UInt8](repeating: round &+ UInt8(index), count: 700)
    let number = socket.socket.descriptor.rawValue
    guard unsafe send(number, bytes, bytes.count, noSignal) == bytes.count
    else { return note("connection \(index): sending: \(Errno(rawValue: errno))") }
    var back = [UInt8](repeating: 0, count: bytes.count)
    let count = unsafe recv(number, &back, back.count, wholeMessage)
    if count != back.count {
      note("connection \(index): \(count) bytes back: \(Errno(rawValue: errno))")
    } else if back != bytes {
      note("connection \(index): other bytes came back")
    } else {
      state.withLock { $0.exchanges += 1 }
    }
  }

  /// Here.
  private func echo(_ socket: SharedTCPSocket) {
    let number = socket.socket.descriptor.rawValue
    var bytes = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe recv(number, &bytes, bytes.count, 0)
      if count == 0 { return }
      guard count > 0, unsafe send(number, bytes, count, noSignal) == count
      else { return note("here: \(Errno(rawValue: errno))") }
    }
  }
}
