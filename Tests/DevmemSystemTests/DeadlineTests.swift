// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Testing

@Suite("Time limits")
struct DeadlineTests {
  @Test("what is left is what poll takes: nothing, for ever, or a number that fits")
  func remaining() {
    #expect(Deadline(milliseconds: -1).milliseconds == -1)
    #expect(Deadline(milliseconds: .min).milliseconds == -1)
    #expect(Deadline(milliseconds: 0).milliseconds == 0)
    #expect((1...Int32.max).contains(Deadline(milliseconds: .max).milliseconds))
    #expect((1...60_000).contains(Deadline(milliseconds: 60_000).milliseconds))
  }

  @Test("a wait on a socket ends although signals keep coming")
  func sockets() throws {
    let listener = try TCPSocket.listen()
    let client = try TCPSocket.connect(port: listener.port)
    for interest in [TCPSocket.Interest.readable, .completion] {
      let first = try Interruptions.during {
        try client.descriptor.wait(for: interest, milliseconds: 40)
      }
      #expect(!first.result && first.endedMeanwhile)
      let second = try Interruptions.during {
        try client.descriptor.wait(for: interest, milliseconds: 40)
      }
      #expect(!second.result && second.endedMeanwhile)
    }
    let rest = Interruptions.during { SystemProcess.pause(milliseconds: 40) }
    #expect(rest.endedMeanwhile)
  }

  @Test("a wait for notifications ends although signals keep coming, and so does reading them")
  func netlink() throws {
    let socket = try NetlinkSocket(timeLimit: 40)
    let wait = try Interruptions.during { try socket.wait(milliseconds: 40) }
    #expect(!wait.result && wait.endedMeanwhile)
    let reading = Interruptions.during {
      #expect(throws: Errno.EAGAIN) { try socket.receiveNotifications() }
    }
    #expect(reading.endedMeanwhile)
  }
}
