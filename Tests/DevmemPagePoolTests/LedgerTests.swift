// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import DevmemPagePool

/// Debugging is a switch of the whole process, so each test has a process of its own.
@Suite("The ledger: who holds what since when")
struct LedgerTests {
  @Test("holdings name the call sites, oldest first, and forget what came back")
  func holdings() async {
    await #expect(processExitsWith: .success) {
      PagePool.isDebugging = true
      let pool = try PagePool(
        provider: ListProvider(iovCount: 100), configuration: .init(name: "rx"))
      PagePool.isDebugging = false
      var held: [Held] = []
      for _ in 0..<5 { held.append(Held(pool.allocate(fileID: "Mine/First.swift", line: 1)!)) }
      let token = pool.allocate(fileID: "Mine/Second.swift", line: 2)!.detach()
      precondition(pool.holdings!.map(\.site.line) == [1, 1, 1, 1, 1, 2])
      let report = PagePoolRegistry.shared.report()
      precondition(report.contains("rx#"), report)
      precondition(report.contains("6 held, 24576 bytes"), report)
      precondition(report.contains("5 from Mine/First.swift:1"), report)
      precondition(report.contains("1 from Mine/Second.swift:2"), report)
      let worker = Worker()
      let boxes = held
      held = []
      worker.run { for box in boxes { box.drop() } }
      precondition(pool.holdings!.map(\.site.line) == [2])
      _ = try pool.reclaim(token)
      precondition(pool.holdings!.isEmpty)
      precondition(PagePoolRegistry.shared.report().isEmpty)
      precondition(pool.statistics.allocationCount == 6 && pool.statistics.returnCount == 6)
    }
  }

  @Test("close that waits too long says who holds what")
  func closeReport() async {
    await #expect(processExitsWith: .success) {
      PagePool.isDebugging = true
      let pool = try PagePool(provider: ListProvider(iovCount: 4))
      let held = Held(pool.allocate(fileID: "Mine/Leak.swift", line: 7)!)
      do {
        try await pool.close(waitingAtMost: .milliseconds(5))
        preconditionFailure("closed with a buffer out")
      } catch PagePoolError.stillHeld(let report) {
        precondition(report.contains("1 from Mine/Leak.swift:7"), report)
      }
      held.drop()
      precondition(pool.holdings!.isEmpty, "what came back after the close is still booked")
      try await pool.close(waitingAtMost: .seconds(10))
    }
  }

  @Test("without a ledger the report still counts, and says how to get one")
  func withoutLedger() async throws {
    let pool = try PagePool(
      provider: ListProvider(iovCount: 4), configuration: .init(name: "plain"))
    let held = Held(try pool.take())
    #expect(pool.holdings == nil)
    let report = PagePoolRegistry.report(pool.core)
    #expect(report.contains("1 held"))
    #expect(report.contains("isDebugging"))
    held.drop()
  }

  @Test("writing to host memory after returning it is found at the next allocation")
  func useAfterFree() async {
    await #expect(processExitsWith: .failure) {
      PagePool.isDebugging = true
      let pool = try PagePool(provider: ListProvider(iovCount: 1))
      let netmem = pool.allocate()!
      let address = unsafe netmem.cpuAddress!
      _ = consume netmem
      unsafe address.storeBytes(of: 1, toByteOffset: 100, as: UInt8.self)
      _ = pool.allocate()
    }
    await #expect(processExitsWith: .success) {
      PagePool.isDebugging = true
      let pool = try PagePool(provider: ListProvider(iovCount: 1))
      for _ in 0..<3 {
        var netmem = pool.allocate()!
        try netmem.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
      }
    }
  }

  @Test("writing past the end of a fragment is found when its IOV comes back")
  func canary() async {
    await #expect(processExitsWith: .failure) {
      PagePool.isDebugging = true
      let pool = try PagePool(provider: ListProvider(iovCount: 2))
      let fragment = pool.allocateFragment(byteCount: 100)!
      let address = unsafe fragment.netmem.cpuAddress!
      unsafe address.storeBytes(of: 1, toByteOffset: 100, as: UInt8.self)
      _ = consume fragment
      pool.close {}
    }
    await #expect(processExitsWith: .success) {
      PagePool.isDebugging = true
      let pool = try PagePool(provider: ListProvider(iovCount: 2))
      for _ in 0..<100 {
        var fragment = pool.allocateFragment(byteCount: 100)!
        precondition(fragment.byteCount == 100)
        try fragment.withMutableBytes { $0.storeBytes(of: 1, toByteOffset: 99, as: UInt8.self) }
      }
      pool.close {}
    }
  }
}
