// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemSystem

@Suite struct NetlinkRequestTests {
  private enum Name: UInt16, NetlinkAttributeName {
    case first = 1
    case second = 2
    case third = 3
    case nest = 7
  }

  @Test("what is appended is read back, in order and by name")
  func roundTrip() {
    var request = NetlinkRequest(family: 30, command: 5, version: 1)
    request.append(Name.first, uint8: 7)
    request.append(Name.second, uint32: 0x1234_5678)
    request.append(Name.third, string: "eth0")
    request.append(Name.second, unsigned: 1 << 40)
    let attributes = request.attributes
    #expect(attributes.map(\.type) == [1, 2, 3, 2])
    #expect(attributes[Name.first]?.uint8 == 7)
    #expect(attributes[Name.first]?.uint32 == nil, "one byte is not a u32")
    #expect(attributes[Name.second]?.uint32 == 0x1234_5678)
    #expect(attributes[Name.third]?.string == "eth0")
    #expect(attributes[Name.third]?.bytes.count == 5, "with its NUL")
    #expect(attributes.all(Name.second).map(\.unsigned) == [0x1234_5678, 1 << 40])
    #expect(attributes[Name.nest] == nil)
  }

  @Test("nests are read back, also within each other")
  func nests() {
    var request = NetlinkRequest(family: 30, command: 5, version: 1)
    for queue in [4, 9] as [UInt32] {
      request.append(Name.nest) { nest in
        nest.append(Name.first, uint32: queue)
        nest.append(Name.nest) { $0.append(Name.second, uint32Array: [queue, queue + 1]) }
      }
    }
    let queues = request.attributes.all(Name.nest).map { $0.attributes[Name.first]?.uint32 }
    #expect(queues == [4, 9])
    let inner = request.attributes.all(Name.nest).map {
      $0.attributes[Name.nest]?.attributes[Name.second]?.uint32Array
    }
    #expect(inner == [[4, 5], [9, 10]])
  }

  @Test("a request grows to what is put into it")
  func growth() {
    var request = NetlinkRequest(family: 30, command: 5, version: 1)
    let table = (0..<4096).map(UInt32.init)
    request.append(Name.nest) { nest in
      for _ in 0..<3 { nest.append(Name.first, uint32Array: table) }
    }
    request.append(Name.second, uint32Array: table)
    #expect(request.attributes[Name.second]?.uint32Array == table)
    let message = request.message(flags: 5, sequence: 9)
    #expect(message.count == 20 + 4 + 3 * (4 + 16384) + 4 + 16384)
    // struct nlmsghdr: length, type, flags, sequence
    #expect(message[0..<4].elementsEqual([0x28, 0x00, 0x01, 0x00]))
    #expect(message[4..<12].elementsEqual([30, 0, 5, 0, 9, 0, 0, 0]))
    // struct genlmsghdr: command, version
    #expect(message[16..<20].elementsEqual([5, 1, 0, 0]))
  }

  @Test("an offset leads to the attributes that it lies in")
  func path() {
    var request = NetlinkRequest(family: 30, command: 5, version: 1)
    request.append(Name.first, uint32: 1)  // at 20
    request.append(Name.nest) { nest in  // at 28
      nest.append(Name.second, uint32: 2)  // at 32
      nest.append(Name.third, uint8: 3)  // at 40
    }
    #expect(request.path(to: 20) == [1])
    #expect(request.path(to: 28) == [7])
    #expect(request.path(to: 32) == [7, 2])
    #expect(request.path(to: 40) == [7, 3])
    #expect(request.path(to: 4) == [])
    #expect(request.path(to: 4000) == [])
  }

  @Test(
    "bytes that are no attributes end the run",
    arguments: [
      [], [1], [1, 0, 1], [3, 0, 1, 0], [0, 0, 1, 0], [9, 0, 1, 0, 1, 2, 3, 4],
      [255, 255, 1, 0, 1, 2, 3, 4],
    ] as [[UInt8]])
  func garbage(bytes: [UInt8]) {
    #expect(Array(NetlinkAttributes(bytes[...])).isEmpty)
    // The same behind a good one, and out of alignment.
    let good: [UInt8] = [5, 0, 2, 0, 42, 0, 0, 0]
    let run = [0] + good + bytes
    #expect(NetlinkAttributes(run.dropFirst()).map(\.type) == [2])
    #expect(NetlinkAttributes(run.dropFirst())[Name.second]?.uint8 == 42)
  }

  @Test("what is longer than an attribute can be is not sent")
  func tooLong() throws {
    var socket = try NetlinkSocket()
    let family = try socket.family(named: "ethtool")
    func check(_ request: NetlinkRequest) {
      do throws(NetlinkFailure) {
        try socket.request(request)
        Issue.record("it was sent")
      } catch {
        #expect(error.errno == .EMSGSIZE)
      }
    }
    var flat = family.request(LengthCommand.ringsGet)
    flat.append(LengthAttribute.header, bytes: Array(repeating: 0, count: 65532))
    check(flat)
    var nested = family.request(LengthCommand.ringsGet)
    nested.append(LengthAttribute.header) { request in
      for _ in 0..<2 {
        request.append(LengthAttribute.header, bytes: Array(repeating: 0, count: 40_000))
      }
    }
    check(nested)
    // The socket goes on.
    _ = try socket.family(named: "ethtool")
  }

  private enum LengthCommand: UInt8 {
    case ringsGet = 15
  }

  private enum LengthAttribute: UInt16, NetlinkAttributeName {
    case header = 1
  }
}
