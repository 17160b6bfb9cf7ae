// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Testing

@testable import DevmemNIC

/// What the owners of a card know of each other. What they make of the card is tested on the device
/// tier (SharedCardTests).
@Suite struct NICRecordTests {
  private static let rule = SteeringRule(
    .udp6, source: .init(address: IPAddress("2001:db8::1"), port: 9),
    destination: .init(address: IPAddress("fe80::1")), queue: 0, context: 3)

  private static var full: NICRecord {
    var record = NICRecord()
    record.found = NICRecord.Found(
      combined: 4, receive: 2, dataSplit: .disabled, threshold: 256,
      spreading: .table([0, 2, 0, 3]), featuresOff: ["rx-gro-hw", "rx-ntuple-filter"])
    record.owners = [
      NICRecord.Owner(
        number: 1 << 40, isKept: false, queues: [6, 7],
        rules: [
          NICRecord.Rule(
            rule: SteeringRule(.tcp4, destination: .init(port: 5201), queue: 7), location: 1023),
          NICRecord.Rule(rule: rule, location: nil, taken: [1, 2]),
          NICRecord.Rule(rule: rule, location: nil, taken: []),
        ]),
      NICRecord.Owner(number: 1 << 41, isKept: true, queues: [1]),
    ]
    return record
  }

  @Test("a record survives its text, and is empty after another boot")
  func text() throws {
    let text = Self.full.text(boot: "b1")
    #expect(NICRecord(text, boot: "b1") == Self.full)
    #expect(NICRecord(text, boot: "b2") == NICRecord())
    var standard = NICRecord()
    standard.found.spreading = .standard
    #expect(NICRecord(standard.text(boot: "-"), boot: "-") == standard)
    #expect(Self.full.queues == [1, 6, 7])
  }

  @Test("what no such version has written is refused, whichever line it is")
  func garbage() {
    let text = Self.full.text(boot: "b1")
    #expect(NICRecord("", boot: "b1") == nil)
    #expect(NICRecord(text.replacing("version 1", with: "version 2"), boot: "b1") == nil)
    for line in [
      "found", "found speed 3", "found spreading 1,x", "owner x kept 1", "owner 1 kept",
      "rule tcp4 at 1", "rule tcp4,1,0,-,-,-,- at x", "something else entirely",
    ] {
      #expect(NICRecord(text + line + "\n", boot: "b1") == nil, "\(line)")
    }
  }

  @Test(
    "rules survive their text",
    arguments: [SteeringRule(.tcp4, destination: .init(port: 5201), queue: 7), rule])
  func rules(rule: SteeringRule) {
    #expect(SteeringRule(text: rule.text) == rule)
    #expect(SteeringRule(text: rule.text + ",") == nil)
    #expect(SteeringRule(text: "tcp5,1,0,-,-,-,-") == nil)
  }

  @Test("a table gives the entries of queues to the others, and leaves the rest alone")
  func spreading() {
    func without(_ queues: Set<UInt32>, _ table: [UInt32]) -> [UInt32] {
      RSSSettings.indirection(table, without: queues, queueCount: 4)
    }
    #expect(without([], [0, 1, 2, 3]) == [0, 1, 2, 3])
    #expect(without([3], [0, 1, 2, 3, 0, 1, 2, 3]) == [0, 1, 2, 0, 0, 1, 2, 1])
    #expect(without([2, 3], [0, 1, 2, 3]) == [0, 1, 0, 1])
    // Somebody has kept queue 1 out before: it stays out.
    #expect(without([3], [0, 2, 3, 3]) == [0, 2, 0, 2])
    // Nothing else was used: all that there is.
    #expect(without([3], [3, 3, 3]) == [0, 1, 2])
    // There is nothing else: better a table than none.
    #expect(without([0, 1, 2, 3], [0, 1]) == [0, 1])
  }
}

/// Where the record is kept, in a folder of the test's own.
@Suite struct NICRecordFileTests {
  private static let card = NetworkInterface(name: "eth7", index: 7)

  private static func file(_ folder: String) throws(DevmemError) -> NICRecordFile {
    try NICRecordFile(of: card, namespace: 9, folder: folder)
  }

  private static func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("nic-record-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  @Test("an owner is there as long as its file, also for another one of the process")
  func owners() throws {
    try Self.withFolder { folder in
      let second = try Self.file(folder)
      var owner = NICRecord.Owner(number: 0, isKept: false, queues: [1])
      do {
        var first = try Self.file(folder)
        owner = NICRecord.Owner(
          number: try first.newNumber(claims: true), isKept: false, queues: [1])
        try first.lock()
        var record = NICRecord()
        record.owners = [owner]
        try first.save(record)
        first.unlock()
        #expect(try first.isAlive(owner))
        #expect(try second.isAlive(owner))
        #expect(try second.load() == record)
      }
      #expect(try !second.isAlive(owner))
      #expect(
        try second.isAlive(NICRecord.Owner(number: 1 << 40, isKept: true, queues: [])))
      try second.lock()
      try second.save(NICRecord())
      second.unlock()
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["locks"])
    }
  }

  @Test("an owner that is killed is gone, and leaves what it has written")
  func killed() throws {
    try Self.withFolder { folder in
      let file = try Self.file(folder)
      // The kernel's side of it, by a process that knows nothing of this.
      let number: UInt64 = 1 << 33
      let script = """
        import fcntl, struct, sys, os, signal
        f = os.open(sys.argv[1], os.O_RDWR)
        # F_OFD_SETLK, struct flock of x86-64
        fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, \(number), 1, 0))
        print("locked", file=sys.stderr, flush=True)
        sys.stdin.read()
        """
      let pipe = Pipe()
      let tool = try ToolProcess(
        URL(fileURLWithPath: "/usr/bin/env"), ["python3", "-c", script, "\(folder)/locks"],
        standardInput: pipe.fileHandleForReading)
      try tool.waitForError("locked")
      let owner = NICRecord.Owner(number: number, isKept: false, queues: [1])
      #expect(try file.isAlive(owner))
      kill(tool.process.processIdentifier, SIGKILL)
      _ = try tool.wait()
      #expect(try !file.isAlive(owner))
    }
  }

  @Test("one at a time changes a card; others wait")
  func exclusion() throws {
    try Self.withFolder { folder in
      let first = try Self.file(folder)
      try first.lock()
      let other = try NICRecordFile(
        of: NetworkInterface(name: "eth8", index: 8), namespace: 9, folder: folder)
      try other.lock()
      other.unlock()
      let isFree = DrainFlag()
      let waiter = Worker()
      waiter.start {
        do {
          let second = try Self.file(folder)
          try second.lock()
          #expect(isFree.isSet)
          second.unlock()
        } catch {
          Issue.record(error)
        }
      }
      usleep(20_000)
      isFree.set()
      first.unlock()
      waiter.run {}
      waiter.stop()
    }
  }

  @Test("where the folder cannot be made, those of the process know of each other")
  func noFolder() throws {
    let nowhere = "/proc/nothing/there"
    var first = try Self.file(nowhere)
    #expect(first.obstacle == .ENOENT)
    let owner = NICRecord.Owner(
      number: try first.newNumber(claims: true), isKept: false, queues: [1])
    try first.lock()
    var record = NICRecord()
    record.owners = [owner]
    try first.save(record)
    first.unlock()
    do {
      var second = try Self.file(nowhere)
      try second.lock()
      #expect(try second.load() == record)
      #expect(try second.isAlive(owner))
      second.unlock()
      let gone = NICRecord.Owner(
        number: try second.newNumber(claims: true), isKept: false, queues: [])
      #expect(try first.isAlive(gone))
    }
    try first.lock()
    try first.save(NICRecord())
    first.unlock()
    #expect(try first.load().isEmpty)
  }

  @Test("another version's record is not touched, and said")
  func foreign() throws {
    try Self.withFolder { folder in
      let file = try Self.file(folder)
      try "something\n".write(
        toFile: "\(folder)/card-9-7", atomically: false, encoding: .utf8)
      let error = #expect(throws: DevmemError.self) { _ = try file.load() }
      #expect(error?.code == .settingRefused)
      #expect(error?.remedy?.contains("card-9-7") == true)
    }
  }

  @Test("no descriptor is lost, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let folder = NSTemporaryDirectory() + "nic-record-\(UUID().uuidString)"
      ForcedErrnos.printVerdict(tolerates: { forced in
        switch (forced.call, forced.errno) {
        // Another place does then.
        case (.makeFolder, .EACCES), (.makeFolder, .EPERM), (.makeFolder, .ENOENT): true
        case (.createFile, .EACCES), (.createFile, .EPERM), (.createFile, .ENOENT): true
        // Somebody else has the lock, or there is no /proc, or no record.
        case (.lockByte, .EAGAIN), (.lockByte, .EACCES): true
        case (.open, .ENOENT), (.open, .EACCES), (.read, .ENOENT), (.read, .EACCES): true
        default: false
        }
      }) {
        var file = try NICRecordFileTests.file(folder)
        let number = try file.newNumber(claims: true)
        let owner = NICRecord.Owner(number: number, isKept: false, queues: [1])
        var record = NICRecord()
        record.owners = [owner]
        try file.lock()
        defer { file.unlock() }
        try file.save(record)
        guard try file.isAlive(NICRecord.Owner(number: 1 << 62, isKept: false, queues: [])) == false
        else { throw Errno.EINVAL }
        _ = try file.load()
        try file.save(NICRecord())
      }
      try? FileManager.default.removeItem(atPath: folder)
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
