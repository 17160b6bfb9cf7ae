// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Testing

/// What the kernel shows of a binding, while it lasts and after.
@Suite("devmem TCP: bindings as the kernel shows them", .onDevmemSim, .serialized)
struct NetdevBindingOnDeviceTests {
  /// Waits for an event that the body is content with. A pool goes away by itself up to a second
  /// after its last buffer; ten are for a slow machine.
  private func wait(
    on notifications: inout NetdevNotifications, _ isIt: (NetdevEvent) -> Bool
  ) throws -> Bool {
    while let event = try notifications.next(milliseconds: 10_000) {
      if isIt(event) { return true }
    }
    return false
  }

  @Test("the queue shows its dma-buf until the binding is closed, twice or by its end")
  func queue() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    var family = try NetdevFamily()
    try nic.withHeaderSplit {
      let first = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1, 3])
      for queue in try family.queues(of: nic.interface) where queue.kind == .receive {
        #expect(queue.dmabufID == ([1, 3].contains(queue.id) ? first.id : nil))
      }
      // The kernel would take it a second time, and write other packets over the first ones.
      let second = #expect(throws: DevmemError.self) {
        try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2])
      }
      #expect(second?.code == .memoryInUse)
      #expect(throws: DevmemError.self) { try DMABufCarving(buffer) }
      first.close()
      first.close()
      #expect(try family.queues(of: nic.interface).allSatisfy { $0.dmabufID == nil })
      do {
        let second = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
        #expect(second.id != first.id)
        #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == second.id)
      }
      #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == nil)
    }
  }

  @Test("the pool of a bound queue names the dma-buf, and has statistics beside ours")
  func pools() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20)
    var family = try NetdevFamily()
    try nic.withHeaderSplit {
      let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2])
      let pools = try family.pagePools(of: nic.interface)
      let mine = pools.filter { $0.dmabufID == binding.id }
      #expect(mine.count == 1)
      let pool = try #require(mine.first)
      #expect(pool.interfaceIndex == nic.interface.index)
      #expect(pool.detachTime == nil)
      #expect(pool.inFlightByteCount == pool.inFlight * 4096)
      #expect(try family.pagePool(pool.id).dmabufID == binding.id)
      #expect(try family.pagePools().contains { $0.id == pool.id })
      let statistics = try family.pagePoolStatistics(pool.id)
      #expect(statistics.poolID == pool.id)
      // What is in flight has been allocated and not been given back; a provider's allocations
      // count nowhere but in `empty`.
      #expect(statistics.counters.alloc.slow == 0)
      let all = try family.pagePoolStatistics(of: nic.interface)
      #expect(all.map(\.poolID).sorted() == pools.map(\.id).sorted())
      binding.close()
    }
  }

  @Test("a pool that is not there is missing; statistics cannot be filtered by a pool in a list")
  func missing() throws {
    let nic = try SimulatedNIC()
    var family = try NetdevFamily()
    for id in [UInt64(0), 1 << 31, 1 << 40] {
      #expect(
        nic.error { () throws(DevmemError) in try family.pagePool(id) }?.code == .poolMissing)
      #expect(
        nic.error { () throws(DevmemError) in try family.pagePoolStatistics(id) }?.code
          == .poolMissing)
    }
    #expect(
      nic.error { () throws(DevmemError) in
        try family.queue(.receive, 4000, of: nic.interface)
      }?.code == .queueMissing)
  }

  @Test("pools come and go with a notification each")
  func notifications() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    var notifications = try NetdevNotifications()
    try nic.withHeaderSplit {
      let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
      var pool: KernelPagePool?
      #expect(
        try wait(on: &notifications) { event in
          if case .pagePoolAdded(let added) = event, added.dmabufID == binding.id { pool = added }
          return pool != nil
        })
      let id = try #require(pool).id
      binding.close()
      #expect(
        try wait(on: &notifications) { event in
          if case .pagePoolRemoved(let removed) = event { return removed.id == id }
          return false
        })
      var family = try NetdevFamily()
      #expect(
        nic.error { () throws(DevmemError) in try family.pagePool(id) }?.code == .poolMissing)
    }
  }

  @Test("an interface that goes down and up again keeps its binding")
  func downAndUp() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    var family = try NetdevFamily()
    try nic.withHeaderSplit {
      let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [1])
      try nic.setUp(false)
      #expect(
        try family.queues(of: nic.interface).isEmpty, "an interface that is down has no queues")
      try nic.setUp(true)
      #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == binding.id)
      binding.close()
      #expect(try family.queue(.receive, 1, of: nic.interface).dmabufID == nil)
    }
  }

  @Test("the same buffer is bound for sending as often as one likes, each with a number of its own")
  func transmit() throws {
    let nic = try SimulatedNIC()
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let bindings = try (0..<3).map { _ in
      try NetdevBinding.transmit(buffer, interface: nic.interface)
    }
    #expect(Set(bindings.map(\.id)).count == 3)
    #expect(bindings.allSatisfy { $0.direction == .transmit && $0.interface == nic.interface })
  }

  @Test("counters and NAPI instances of the card are listed")
  func counters() throws {
    let nic = try SimulatedNIC()
    var family = try NetdevFamily()
    let perQueue = try family.queueStatistics(of: nic.interface, perQueue: true)
    let queues = try family.queues(of: nic.interface)
    #expect(perQueue.count == queues.count)
    #expect(Set(perQueue.compactMap(\.queue)).count == perQueue.count)
    let whole = try family.queueStatistics(of: nic.interface)
    #expect(whole.count == 1)
    #expect(whole.first?.queue == nil)
    let napis = Set(try family.napis(of: nic.interface).map(\.id))
    #expect(!napis.isEmpty)
    for queue in queues where queue.kind == .receive {
      #expect(queue.napiID.map(napis.contains) == true)
    }
  }
}
