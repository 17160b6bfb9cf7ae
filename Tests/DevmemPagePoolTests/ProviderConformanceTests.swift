// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import DevmemTesting
import Synchronization
import Testing

/// The suite that providers are checked with has to find what it is for.
@Suite("checkMemoryProvider")
struct ProviderConformanceTests {
  private struct Refused: Error {}

  /// A list provider with one fault.
  private final class FaultyProvider: MemoryProvider {
    enum Fault {
      case none, refuses, empty, loses, grows, losesAfterClose
    }
    let name = "faulty"
    private let list: ListProvider
    private let fault: Fault
    private let counts = Mutex((refills: 0, releases: 0))

    init(_ fault: Fault) throws {
      // More than a pool caches, for a release while it is open.
      list = try ListProvider(iovCount: fault == .loses ? 300 : 100)
      self.fault = fault
    }

    func attach(
      to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
    ) throws -> [NetIOVSlab] {
      if fault == .refuses { throw Refused() }
      return list.attach(to: pool, access)
    }

    func refill(
      _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
    ) {
      let number = counts.withLock { counts in
        counts.refills += 1
        return counts.refills
      }
      if fault == .empty || fault == .grows && number == 2 { return }
      list.refill(&span, access)
    }

    func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess) {
      let number = counts.withLock { counts in
        counts.releases += 1
        return counts.releases
      }
      if fault == .loses && number == 1 { return }
      // Only the second pool is attached.
      if fault == .losesAfterClose && list.attachedCount == 2 && list.outCount <= 50 { return }
      list.release(iovs, access)
    }

    func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
      list.detach(from: pool, access)
    }
  }

  private static func rule(_ fault: FaultyProvider.Fault) throws -> String? {
    do {
      try checkMemoryProvider(FaultyProvider(fault))
      return nil
    } catch let error as ProviderFault {
      return error.description
    }
  }

  @Test("a provider that keeps the contract passes, and has everything back then")
  func sound() throws {
    #expect(try Self.rule(.none) == nil)
    let provider = try ListProvider(iovCount: 7)
    try checkMemoryProvider(provider)
    #expect(provider.outCount == 0 && provider.attachedCount == 0)
    try checkMemoryProvider(ListProvider(iovCount: 1))
    try checkMemoryProvider(ListProvider(iovCount: 300, kind: .device, hasCPUMapping: false))
  }

  @Test("what attach throws comes through")
  func attach() throws {
    #expect(throws: Refused.self) { try checkMemoryProvider(FaultyProvider(.refuses)) }
  }

  @Test("a provider with nothing, one that loses buffers and one that grows are found")
  func faults() throws {
    #expect(try Self.rule(.empty) == "refill hands out at least one buffer")
    #expect(try Self.rule(.loses) == "as many buffers the second time as the first")
    #expect(
      try Self.rule(.grows) == "an exhausted provider stays exhausted until a release")
    #expect(
      try Self.rule(.losesAfterClose)
        == "the closed pool's buffers are there for the other pool")
  }
}
