// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Dispatch
import Foundation
import Testing

/// Buffers that are put after fences, on a real dma-buf.
@Suite("Return after fence", .onDevmemSim, .serialized) struct FenceReturnerTests {
  private let fences: SimulatedFences
  private let watch: FenceWatch
  private let buffer: DMABuf

  init() throws {
    fences = try SimulatedFences()
    watch = try FenceWatch()
    buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
  }

  private func pool() throws -> SharedPagePool {
    try SharedPagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
  }

  private func wait(until isTrue: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try !isTrue() {
      try #require(ContinuousClock.now < deadline, "what is waited for does not come")
      SystemProcess.pause(milliseconds: 1)
    }
  }

  @Test("buffers, batches and fragments are held until the fence, and cost one descriptor")
  func returns() throws {
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    let (fence, id) = try fences.make()
    let before = try ResourceCount.now().descriptors.count
    let returner = try FenceReturner(after: fence, on: watch)
    returner.put(try pool.take())
    returner.put(pool.allocateBatch(64))
    guard let fragment = pool.allocateFragment(byteCount: 1500) else { throw NoBuffer() }
    returner.put(fragment)
    returner.put(NetmemBatch())
    #expect(try ResourceCount.now().descriptors.count == before)
    #expect(returner.count == 66)
    #expect(pool.inFlight.fenced == 66 && pool.inFlight.held == 66)
    // As many more as there are: none of the 66.
    do {
      var others: [Held] = []
      while let netmem = pool.allocate() { others.append(Held(netmem)) }
      #expect(others.count == 256 - 66)
    }
    try fences.end(id)
    try wait { pool.inFlight.held == 0 }
    #expect(returner.count == 0 && watch.count == 0)
    #expect(pool.statistics.fenced == 66 && pool.statistics.fenceFailures == 0)
    // Too late: at once.
    returner.put(try pool.take())
    #expect(pool.inFlight.held == 0 && pool.statistics.fenced == 67)
  }

  @Test("a buffer that somebody else holds is in its pool after both")
  func shared() throws {
    let pool = try pool()
    let (fence, id) = try fences.make()
    let returner = try FenceReturner(after: fence, on: watch)
    do {
      let netmem = try pool.take()
      returner.put(netmem.share())
      try fences.end(id)
      try wait { returner.count == 0 }
      #expect(pool.inFlight.held == 1 && pool.inFlight.fenced == 0)
      #expect(netmem.referenceCount == 1)
    }
    #expect(pool.inFlight.held == 0)
  }

  @Test("closing waits for the fence; a limit says how many handles wait for it")
  func closing() async throws {
    let pool = try pool()
    let (fence, id) = try fences.make()
    do {
      // Nobody keeps the returner.
      let returner = try FenceReturner(after: fence, on: watch)
      for _ in 0..<3 { returner.put(try pool.take()) }
    }
    let error = await #expect(throws: PagePoolError.self) {
      try await pool.close(waitingAtMost: .milliseconds(50))
    }
    guard case .stillHeld(let report)? = error else {
      Issue.record("closed with \(String(describing: error))")
      return
    }
    #expect(report.contains("3 handles wait for fences of devices"))
    async let closed: Void = pool.close()
    try fences.end(id)
    try await closed
    #expect(pool.inFlight.total == 0)
  }

  @Test("a fence that ends with an error is counted, and its buffers are not lost")
  func failures() throws {
    let pool = try pool()
    let (fence, id) = try fences.make()
    let returner = try FenceReturner(after: fence, on: watch)
    for _ in 0..<5 { returner.put(try pool.take()) }
    try fences.end(id, .EIO)
    try wait { pool.inFlight.held == 0 }
    #expect(pool.statistics.fenced == 5 && pool.statistics.fenceFailures == 5)
    returner.put(try pool.take())
    #expect(pool.statistics.fenced == 6 && pool.statistics.fenceFailures == 6)
  }

  @Test("what is kept with the buffers lives as long as they wait")
  func keeps() throws {
    final class Owner: Sendable {}
    let (fence, id) = try fences.make()
    let returner = try FenceReturner(after: fence, on: watch)
    weak var owner: Owner?
    do {
      let made = Owner()
      owner = made
      returner.keep(made)
    }
    #expect(owner != nil)
    try fences.end(id)
    try wait { owner == nil }
  }

  @Test("the watch lives until the last fence, without anybody's reference")
  func watchLives() throws {
    let pool = try pool()
    let (fence, id) = try fences.make()
    weak var seen: FenceWatch?
    do {
      let own = try FenceWatch()
      seen = own
      let returner = try FenceReturner(after: fence, on: own)
      returner.put(try pool.take())
    }
    #expect(seen != nil && pool.inFlight.fenced == 1)
    try fences.end(id)
    try wait { pool.inFlight.held == 0 && seen == nil }
  }

  @Test("a returner leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let buffer = try DMABuf.udmabuf(byteCount: 65536)
      let pool = try SharedPagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
      let watch = try FenceWatch()
      let last = try buffer.fence(for: .read)
      let worker = Worker()
      ForcedErrnos.printVerdict {
        // The fence has signalled: its end comes on the watch's thread. When the end of another one
        // has come there, which is forced on no call, all is over.
        defer {
          worker.run {
            let over = DispatchSemaphore(value: 0)
            guard let returner = try? FenceReturner(after: last, on: watch) else { return }
            returner.keep(AtEnd { over.signal() })
            over.wait()
          }
        }
        let returner = try FenceReturner(after: buffer.fence(for: .read), on: watch)
        returner.put(try pool.take())
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  /// Runs something when it goes.
  private final class AtEnd: Sendable {
    private let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    deinit { body() }
  }

  // MARK: In random order

  /// The same by a process of its own, which writes all over the buffers while it has them: what a
  /// user writes into one that was handed out too early shows there, and what the device has not
  /// taken away again shows here.
  @Test("in random order, with fences pending at random, no buffer is handed out before its fence")
  func randomOrder() throws {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["DEVMEM_FENCE_COUNT"].flatMap { Int($0) } ?? 20_000
    let pool = try pool()
    let device = try DeviceProcess("fences", with: buffer)
    var generator = SeededGenerator(seed: 13)
    var job: UInt32 = 0
    var handles = 0
    var early = 0
    var mostPending = 0
    // Jobs that have a fence and have not begun.
    var heldBack: [[UInt32]] = []
    func beginHeldBack(leaving count: Int) throws {
      while heldBack.count > count {
        let position = Int.random(in: 0..<heldBack.count, using: &generator)
        try device.socket.send(words: heldBack.remove(at: position))
      }
    }
    func take() -> Netmem? {
      guard let netmem = pool.allocate() else { return nil }
      let bytes = unsafe buffer.cpuMapping!.baseAddress + Int(netmem.offset)
      let word = unsafe bytes.load(fromByteOffset: 512, as: UInt64.self)
      if word & FenceMessage.mark == FenceMessage.mark { early += 1 }
      // What a user does: it would show in the device's job.
      unsafe bytes.storeBytes(of: 42, as: UInt64.self)
      return netmem
    }
    while handles < count {
      var batch = NetmemBatch()
      for _ in 0..<Int.random(in: 1...40, using: &generator) {
        if let netmem = take() { batch.append(netmem) }
      }
      // A part goes back without a fence.
      if Int.random(in: 0..<4, using: &generator) == 0 { continue }
      guard !batch.isEmpty else {
        try beginHeldBack(leaving: 0)
        SystemProcess.pause(milliseconds: 1)
        continue
      }
      job += 1
      var begin = [FenceMessage.begin.rawValue, job]
      batch.forEach { begin.append(UInt32($0.offset / 4096)) }
      handles += batch.count
      // The device begins before the buffers are put, or some time afterwards.
      let isEarly = Bool.random(using: &generator)
      try device.socket.send(words: isEarly ? begin : [FenceMessage.announce.rawValue, job])
      let fence = try Fence(device.socket.receiveDescriptor())
      let returner = try FenceReturner(after: fence, on: watch)
      if Bool.random(using: &generator) {
        returner.put(batch)
      } else {
        while let netmem = batch.popLast() { returner.put(netmem) }
      }
      if !isEarly { heldBack.append(begin) }
      mostPending = max(mostPending, watch.count)
      try beginHeldBack(leaving: Int.random(in: 0...4, using: &generator))
    }
    try beginHeldBack(leaving: 0)
    try device.socket.send(words: [FenceMessage.finish.rawValue])
    #expect(try device.socket.receiveWords(limit: 1) == [0], "buffers were written to meanwhile")
    try wait { pool.inFlight.held == 0 }
    #expect(early == 0)
    #expect(mostPending > 1)
    #expect(pool.statistics.fenced == UInt64(handles))
    #expect(pool.statistics.fenceFailures > 0)
    #expect(watch.count == 0 && pool.inFlight.fenced == 0)
    print("\(handles) handles after \(job) fences, \(mostPending) of them pending at once")
  }

  @Test("a device whose process is killed: its fences end with an error, its buffers come back")
  func processKilled() throws {
    let pool = try pool()
    let device = try DeviceProcess("fences", with: buffer)
    try device.socket.send(words: [FenceMessage.announce.rawValue, 1])
    let fence = try Fence(device.socket.receiveDescriptor())
    let returner = try FenceReturner(after: fence, on: watch)
    for _ in 0..<9 { returner.put(try pool.take()) }
    #expect(pool.inFlight.fenced == 9)
    device.kill()
    try wait { pool.inFlight.held == 0 }
    #expect(pool.statistics.fenceFailures == 9)
    #expect(try device.wait().status == 128 + SIGKILL)
  }
}
