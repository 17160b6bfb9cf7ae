// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Testing

@Suite struct EventPollTests {
  @Test(
    "of many descriptors exactly those that are ready are named, again and again until they are not"
  )
  func levels() throws {
    let poll = try EventPoll()
    let pairs = try (0..<100).map { _ in try UnixSocket.pair() }
    for (_, right) in pairs { try poll.add(right.descriptor.rawValue) }
    var ready: [Int32] = [7]
    try poll.wait(into: &ready, milliseconds: 0)
    #expect(ready == [])
    for position in [3, 50] { try pairs[position].0.send([1]) }
    let expected = Set([3, 50].map { pairs[$0].1.descriptor.rawValue })
    for _ in 0..<2 {
      try poll.wait(into: &ready, milliseconds: 10_000)
      #expect(Set(ready) == expected && ready.count == 2)
    }
    _ = try pairs[3].1.receive(byteLimit: 8)
    try poll.wait(into: &ready, milliseconds: 10_000)
    #expect(ready == [pairs[50].1.descriptor.rawValue])
    try poll.remove(pairs[50].1.descriptor.rawValue)
    try poll.wait(into: &ready, milliseconds: 0)
    #expect(ready == [])
  }

  @Test("more than fit into one answer come with the next ones")
  func more() throws {
    let poll = try EventPoll()
    let pairs = try (0..<100).map { _ in try UnixSocket.pair() }
    var missing: Set<Int32> = []
    for (left, right) in pairs {
      try poll.add(right.descriptor.rawValue)
      try left.send([1])
      missing.insert(right.descriptor.rawValue)
    }
    var ready: [Int32] = []
    for _ in 0..<4 {
      try poll.wait(into: &ready, milliseconds: 10_000)
      #expect(ready.count <= EventPoll.readyCountLimit)
      missing.subtract(ready)
    }
    #expect(missing == [])
  }

  @Test("the peer's end is told, and room to write where that is asked for")
  func ends() throws {
    let poll = try EventPoll()
    let (left, right) = try UnixSocket.pair()
    try poll.add(left.descriptor.rawValue, for: .writable)
    var ready: [Int32] = []
    try poll.wait(into: &ready, milliseconds: 10_000)
    #expect(ready == [left.descriptor.rawValue])
    try poll.remove(left.descriptor.rawValue)
    try poll.add(right.descriptor.rawValue, for: .completion)
    try poll.wait(into: &ready, milliseconds: 0)
    #expect(ready == [])
  }

  @Test("what cannot be watched, or is not, is an error")
  func refusals() throws {
    let poll = try EventPoll()
    let (left, _) = try UnixSocket.pair()
    try poll.add(left.descriptor.rawValue)
    #expect(throws: Errno.EEXIST) { try poll.add(left.descriptor.rawValue) }
    try poll.remove(left.descriptor.rawValue)
    #expect(throws: Errno.ENOENT) { try poll.remove(left.descriptor.rawValue) }
    let file = try MemoryFile(name: "poll", byteCount: 4096)
    #expect(throws: Errno.EPERM) { try poll.add(file.descriptor.rawValue) }
  }

  @Test("a wait ends although signals keep coming")
  func signals() throws {
    let poll = try EventPoll()
    let wait = try Interruptions.during { () -> [Int32] in
      var ready: [Int32] = []
      try poll.wait(into: &ready, milliseconds: 40)
      return ready
    }
    #expect(wait.result == [] && wait.endedMeanwhile)
  }
}
