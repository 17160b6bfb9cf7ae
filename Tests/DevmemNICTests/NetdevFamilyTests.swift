// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Testing

/// Questions to the running kernel, whichever it is: the loopback interface is on any.
@Suite struct NetdevFamilyTests {
  /// What the body answers; nil where this kernel does not know the question, which it then has to
  /// say.
  private func asking<Answer>(
    _ body: (inout NetdevFamily) throws(DevmemError) -> Answer
  ) throws -> Answer? {
    do throws(DevmemError) {
      var family = try NetdevFamily()
      return try body(&family)
    } catch {
      guard error.code == .kernelUnsupported else { throw error }
      #expect(error.remedy?.contains("Linux") == true)
      return nil
    }
  }

  @Test("the loopback interface is among the devices, and can be asked alone")
  func devices() throws {
    let loopback = try NetworkInterface(named: "lo")
    let answers = try asking { family throws(DevmemError) in
      (try family.devices(), try family.device(loopback))
    }
    guard let (all, one) = answers else { return }
    #expect(all.contains(one))
    #expect(one.interfaceIndex == loopback.index)
    #expect(Set(all.map(\.interfaceIndex)).count == all.count)
  }

  @Test("queues, pools, NAPI instances and counters can be listed")
  func lists() throws {
    for queue in try asking({ family throws(DevmemError) in try family.queues() }) ?? [] {
      #expect(queue.interfaceIndex >= 1)
    }
    for pool in try asking({ family throws(DevmemError) in try family.pagePools() }) ?? [] {
      #expect(pool.id >= 1)
      #expect(pool.inFlightByteCount >= pool.inFlight * 4096)
    }
    _ = try asking { family throws(DevmemError) in try family.napis() }
    _ = try asking { family throws(DevmemError) in try family.queueStatistics() }
    _ = try asking { family throws(DevmemError) in try family.queueStatistics(perQueue: true) }
    _ = try asking { family throws(DevmemError) in try family.pagePoolStatistics() }
  }

  @Test("what is not there is missing")
  func missing() throws {
    let gone = try NetworkInterface(named: "lo")
    #expect(
      throws: DevmemError.self,
      performing: {
        guard
          try asking({ family throws(DevmemError) in
            try family.queue(.receive, 4_000_000, of: gone)
          }) != nil
        else { throw DevmemError(.queueMissing, "a kernel without the question") }
      })
    #expect(
      throws: DevmemError.self,
      performing: {
        guard
          try asking({ family throws(DevmemError) in try family.pagePool(0xFFFF_FFFF) }) != nil
        else { throw DevmemError(.poolMissing, "a kernel without the question") }
      })
  }

  @Test("notifications can be waited for; none comes by itself")
  func notifications() throws {
    do throws(DevmemError) {
      var notifications = try NetdevNotifications()
      #expect(notifications.descriptor >= 0)
      #expect(try notifications.next(milliseconds: 0) == nil)
    } catch {
      #expect(error.code == .kernelUnsupported)
    }
  }

  @Test("asking leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      // A kernel without the family is asked for another one.
      let hasFamily = (try? NetdevFamily().hasBindReceive) != nil
      ForcedErrnos.printVerdict {
        guard hasFamily else {
          var socket = try NetlinkSocket()
          _ = try socket.family(named: "ethtool")
          return
        }
        var family = try NetdevFamily()
        _ = try family.devices()
        _ = try family.queues(of: NetworkInterface(named: "lo"))
        var notifications = try NetdevNotifications()
        _ = try notifications.next(milliseconds: 0)
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
