// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// What a soak does, for its report.
enum Operation: Int, CaseIterable {
  case allocate, allocateCritical, none, batch, fragment, look
  case returnOne, returnShared, returnBatch, returnByReturner, swapInBatch, moveReturner
  case token, tokenElsewhere, secondToken, refusedToken
  case sharedAllocate, sharedBatch
  case wait, waitTimedOut, waitCancelled, waitClosed
  case open, claim, claimFromEnded, relinquish, endThread
  case close, closeElsewhere, drop, dropUnclaimed, dropInCallback, callback, returnInCallback
  case openShared, closeShared, dropShared
}

/// How often each was done. One thread's own.
struct Tally {
  private(set) var counts = [UInt64](repeating: 0, count: Operation.allCases.count)
  mutating func note(_ operation: Operation) { counts[operation.rawValue] += 1 }
  mutating func add(_ other: Tally) {
    for index in counts.indices { counts[index] += other.counts[index] }
  }
}

/// Random operations of everything, against a map of holders: owners that come, wait, hand over,
/// close, drop and end; shared pools that all threads allocate from; and threads that return what
/// others gave out, one by one, in batches, as tokens, as fragments and through returners that
/// change hands.
final class Soak: Sendable {
  static let hostCount = 16384
  static let deviceByteCount = 4 << 20

  let host: HostMemoryProvider
  let carving: DMABufCarving
  /// Host memory three times, device memory in six sizes, and one out of the other.
  let providers: [CallingProvider]
  let map = HolderMap(hostByteCount: hostCount * 4096, deviceByteCount: deviceByteCount)

  let cells = (0..<512).map { _ in Carrier<Netmem>(nil) }
  let batches = (0..<64).map { _ in Carrier<NetmemBatch>(nil) }
  let fragments = (0..<64).map { _ in Carrier<NetmemFragment>(nil) }
  let returners = (0..<8).map { _ in Carrier<NetmemReturner>(nil) }
  /// Pools on their way between two owners, and those whose owner has ended.
  let rights = (0..<8).map { _ in Carrier<PagePool.Ownership>(nil) }
  let orphans = (0..<8).map { _ in Carrier<PagePool>(nil) }
  /// For whoever closes pools from elsewhere.
  let remotes = (0..<16).map { _ in Carrier<PagePool.Remote>(nil) }
  /// References that callbacks drop.
  let lates = Mutex<[Carrier<PagePool>]>([])
  let shared = Mutex<[SharedPagePool?]>(Array(repeating: nil, count: 4))
  let tokens = Mutex<[Detached]>([])

  /// A buffer as a token, and who takes it back.
  struct Detached: Sendable {
    let token: NetmemToken
    let bytes: Range<Int>
    let reclaim: @Sendable (NetmemToken) throws -> Void
  }

  let stop = DrainFlag()
  let callbacks = Atomic<UInt64>(0)
  private let tally = Mutex(Tally())

  init() throws {
    host = try HostMemoryProvider(byteCount: Self.hostCount * 4096)
    carving = try DMABufCarving(DMABuf.memoryFile(byteCount: Self.deviceByteCount))
    var all: [any MemoryProvider] = [
      host, host, host, host, DMABufMemoryProvider(carving),
      FallbackProvider(DMABufMemoryProvider(carving), then: host),
    ]
    for byteCount in [256, 1024, 4096, 16384, 65536] {
      all.append(try SizeClassMemoryProvider(carving, iovByteCount: byteCount))
    }
    providers = all.map { CallingProvider($0) }
  }

  func add(_ other: Tally) { tally.withLock { $0.add(other) } }
  var counts: Tally { tally.withLock { $0 } }

  // MARK: Giving up

  func giveUp(_ netmem: consuming Netmem, _ random: UInt64, _ tally: inout Tally) {
    map.give(netmem)
    if random & 3 == 0 {
      tally.note(.returnShared)
      let other = netmem.share()
      _ = consume netmem
      _ = consume other
    } else {
      tally.note(.returnOne)
    }
  }

  func giveUp(_ batch: consuming NetmemBatch, _ tally: inout Tally) {
    batch.forEach { map.give($0) }
    tally.note(.returnBatch)
  }

  func giveUp(_ fragment: consuming NetmemFragment) {
    map.give(map.place(of: fragment))
    let other = fragment.share()
    _ = consume fragment
    _ = consume other
  }

  func put(_ netmem: consuming Netmem, _ random: UInt64, _ tally: inout Tally) {
    map.take(netmem)
    if let old = cells[Int(random >> 8) & 511].exchange(netmem) {
      giveUp(old, random >> 20, &tally)
    }
  }

  func put(_ batch: consuming NetmemBatch, _ random: UInt64, _ tally: inout Tally) {
    var batch = batch
    batch.forEach { map.take($0) }
    if random & 64 == 0, batch.count > 1 {
      giveUp(batch.split(at: batch.count / 2), &tally)
    }
    if random & 128 == 0, let other = cells[Int(random >> 32) & 511].take() {
      // Another pool's buffer, perhaps of another size, in the place of one of these.
      tally.note(.swapInBatch)
      let spare = Held(other)
      batch.forEachMutable { netmem in
        guard var other = spare.take() else { return }
        swap(&netmem, &other)
        giveUp(other, random >> 24, &tally)
      }
      if let other = spare.take() { giveUp(other, random >> 24, &tally) }
    }
    if let old = batches[Int(random >> 8) & 63].exchange(batch) { giveUp(old, &tally) }
  }

  /// Detaches a buffer, for another thread or at once; each token is good once.
  func detach(
    _ netmem: consuming Netmem, _ random: UInt64, _ tally: inout Tally,
    _ reclaim: @escaping @Sendable (NetmemToken) throws -> Void
  ) {
    let bytes = map.place(of: netmem)
    map.take(bytes)
    if random & 256 == 0 {
      tally.note(.secondToken)
      let second = netmem.share().detach()
      let first = netmem.detach()
      if (try? reclaim(first)) == nil { map.fault() }
      return pass(Detached(token: second, bytes: bytes, reclaim: reclaim), &tally)
    }
    pass(Detached(token: netmem.detach(), bytes: bytes, reclaim: reclaim), &tally)
  }

  private func pass(_ detached: Detached, _ tally: inout Tally) {
    let isKept = tokens.withLock { tokens in
      guard tokens.count < 256 else { return false }
      tokens.append(detached)
      return true
    }
    if isKept {
      tally.note(.tokenElsewhere)
    } else {
      takeBack(detached, &tally)
    }
  }

  func takeBack(_ detached: Detached, _ tally: inout Tally) {
    map.give(detached.bytes)
    tally.note(.token)
    if (try? detached.reclaim(detached.token)) == nil { map.fault() }
    if (try? detached.reclaim(detached.token)) != nil { map.fault() }
    tally.note(.refusedToken)
  }

  // MARK: What all threads do

  /// One turn of a thread that allocates from no pool of its own.
  func turn(_ random: inout SeededGenerator, _ returner: inout NetmemReturner, _ tally: inout Tally)
  {
    let r = random.next()
    switch r & 31 {
    case 0...13:
      guard let netmem = cells[Int(r >> 8) & 511].take() else { return }
      if r & 32 == 0 {
        tally.note(.returnByReturner)
        map.give(netmem)
        returner.put(netmem)
      } else {
        giveUp(netmem, r >> 20, &tally)
      }
    case 14...17:
      if let batch = batches[Int(r >> 8) & 63].take() { giveUp(batch, &tally) }
    case 18, 19:
      if let fragment = fragments[Int(r >> 8) & 63].take() {
        tally.note(.returnOne)
        giveUp(fragment)
      }
    case 20, 21:
      if let detached = tokens.withLock({ $0.popLast() }) { takeBack(detached, &tally) }
    case 22:
      // A returner with what is in it goes to another thread.
      tally.note(.moveReturner)
      if let other = returners[Int(r >> 8) & 7].exchange(NetmemReturner(capacity: 16)) {
        var mine = other
        swap(&mine, &returner)
        returners[Int(r >> 12) & 7].put(mine)
      }
    case 23:
      guard r >> 8 & 4095 == 0 else { return }
      tally.note(.closeElsewhere)
      remotes[Int(r >> 24) & 15].take()?.close {}
    case 24:
      guard r >> 8 & 63 == 0 else { return }
      tally.note(.look)
      for pool in PagePoolRegistry.shared.pools where pool.inFlight.total < 0 { map.fault() }
    case 25: returner.flush()
    default: sharedTurn(r, &tally)
    }
  }

  /// One turn with a pool that any thread may allocate from.
  func sharedTurn(_ r: UInt64, _ tally: inout Tally) {
    let index = Int(r >> 6) & 3
    guard let pool = shared.withLock({ $0[index] }) else {
      tally.note(.openShared)
      let new = try? SharedPagePool(
        provider: provider(r >> 40),
        configuration: .init(
          cacheCapacity: 4 + Int(r >> 16) % 64, refillCount: 4, ringCapacity: Int(r >> 24) % 100,
          reserveCount: Int(r >> 32) % 3))
      return shared.withLock { pools in
        if pools[index] == nil { pools[index] = new }
      }
    }
    switch r >> 56 & 15 {
    case 0...8:
      guard let netmem = pool.allocate(r & 1024 == 0 ? .critical : .normal) else {
        return tally.note(.none)
      }
      tally.note(.sharedAllocate)
      put(netmem, r, &tally)
    case 9, 10:
      tally.note(.sharedBatch)
      put(pool.allocateBatch(1 + Int(r >> 16) % 64), r, &tally)
    case 11:
      guard let netmem = pool.allocate() else { return tally.note(.none) }
      detach(netmem, r, &tally) { _ = try pool.reclaim($0) }
    case 12:
      guard r >> 8 & 0xFFFF == 0 else { return }
      shared.withLock { $0[index] = nil }
      if r >> 24 & 1 == 0 {
        tally.note(.closeShared)
        pool.close {}
      } else {
        tally.note(.dropShared)
      }
    default:
      // At once, on this thread.
      tally.note(pool.allocate() == nil ? .none : .sharedAllocate)
    }
  }

  func provider(_ random: UInt64) -> CallingProvider {
    providers[Int(random % UInt64(providers.count))]
  }

  /// What a watermark or a provider does with the pools that are at it.
  func callBack(_ late: Carrier<PagePool>, _ remote: Carrier<PagePool.Remote>) {
    let number = callbacks.add(1, ordering: .relaxed).newValue
    var tally = Tally()
    tally.note(.callback)
    switch number % 16 {
    case 0...7:
      tally.note(.returnInCallback)
      if let netmem = cells[Int(number) & 511].take() { giveUp(netmem, number, &tally) }
    case 8, 9:
      tally.note(.dropInCallback)
      late.drop()
    case 10: remote.take()?.close {}
    default: break
    }
    add(tally)
  }

  // MARK: At rest

  /// Nobody is at it any more: everything goes back, and all counts must come out.
  func settle() -> [String] {
    var tally = Tally()
    for cell in cells { if let netmem = cell.take() { giveUp(netmem, 1, &tally) } }
    for cell in batches { if let batch = cell.take() { giveUp(batch, &tally) } }
    for cell in fragments { if let fragment = cell.take() { giveUp(fragment) } }
    for detached in tokens.withLock({ exchange(&$0, with: []) }) { takeBack(detached, &tally) }
    for cell in returners { cell.drop() }
    for cell in remotes { cell.drop() }
    var found: [String] = []
    for cell in rights {
      guard let pool = cell.take()?.claim() else { continue }
      if pool.inFlight.held != 0 { found.append("\(pool.identity): \(pool.inFlight)") }
    }
    for cell in orphans { cell.drop() }
    for cell in lates.withLock({ exchange(&$0, with: []) }) { cell.drop() }
    let shared = shared.withLock { exchange(&$0, with: [nil, nil, nil, nil]) }
    for case let pool? in shared {
      if pool.inFlight.held != 0 { found.append("\(pool.identity): \(pool.inFlight)") }
      let statistics = pool.statistics
      if statistics.allocationCount != statistics.returnCount {
        found.append("\(pool.identity): \(statistics)")
      }
      pool.close {}
    }
    add(tally)
    return found
  }

  /// Buffers, in KiB, and pools that are still out when everything is over.
  func lost() -> (bytes: Int, pools: Int) {
    let bytes =
      host.byteCount - host.availableByteCount + Self.deviceByteCount - carving.availableByteCount
    return (bytes, providers.reduce(0) { $0 + $1.poolCount })
  }
}

/// Runs a soak in parts of 20 seconds, after each of which everything must be back.
func soak(seconds: Int) async throws {
  let soak = try Soak()
  var found: [String] = []
  let part = 20
  let end = ContinuousClock.now + .seconds(seconds)
  for number in 0... {
    // Coming to rest takes its time as well: what counts is when all of it is over.
    let left = Int((end - .now).components.seconds)
    guard left > 0 || number == 0 else { break }
    try await soakPart(soak, min(part, max(1, left)), number: number)
    found += soak.settle()
    print("part \(number + 1): \(soak.counts.counts.reduce(0, +)) operations so far")
    fflush(nil)
    // Threads that were given something back last may be on their way out.
    for _ in 0..<200 where soak.lost() != (0, 0) { try await Task.sleep(for: .milliseconds(50)) }
    if soak.lost() != (0, 0) { break }
  }
  let counts = soak.counts.counts
  for operation in Operation.allCases { print("\(operation): \(counts[operation.rawValue])") }
  for line in found { print("not at rest: \(line)") }
  let (bytes, pools) = soak.lost()
  let faults = soak.map.faults.load(ordering: .relaxed)
  print(
    "\(counts.reduce(0, +)) operations on \(counts[Operation.open.rawValue]) pools and"
      + " \(counts[Operation.openShared.rawValue]) shared ones, threads stopped \(cstorm_hits())"
      + " times: \(faults) faults in the map of holders, \(bytes) bytes lost, \(pools) pools never"
      + " ended, \(found.count) counts wrong at rest")
  if faults + bytes + pools + found.count != 0 { exit(1) }
}

/// The threads of one part.
private func soakPart(_ soak: Soak, _ seconds: Int, number: Int) async throws {
  soak.stop.clear()
  let seed = UInt64(number) << 32 + UInt64(Date().timeIntervalSince1970)
  let lives = (0..<2).map { number -> @Sendable () -> Void in
    {
      var turn = seed &+ UInt64(number)
      while !soak.stop.isSet {
        // Each life is a thread of its own: pools outlive their owner's.
        let worker = Worker()
        let life = turn
        worker.run { SoakOwner(soak, seed: life).live() }
        worker.stop()
        turn &+= 1000
      }
    }
  }
  let others = (0..<2).map { number -> @Sendable () -> Void in
    {
      var random = SeededGenerator(seed: seed &+ 100 &+ UInt64(number))
      var returner = NetmemReturner(capacity: 16)
      var tally = Tally()
      while !soak.stop.isSet { soak.turn(&random, &returner, &tally) }
      soak.add(tally)
    }
  }
  let owners = lives.map { life in
    let worker = Worker()
    worker.start(life)
    return worker
  }
  let threads = Background(every: 200, for: 60, others)
  try await withThrowingTaskGroup(of: Void.self) { group in
    for number in 0..<2 {
      group.addTask {
        let waiter = try SoakWaiter(soak, seed: seed &+ 200 &+ UInt64(number))
        while !soak.stop.isSet { try await waiter.live() }
      }
      group.addTask { await waitOnShared(soak, seed: seed &+ 300 &+ UInt64(number)) }
    }
    group.addTask {
      try await Task.sleep(for: .seconds(seconds))
      soak.stop.set()
    }
    try await group.waitForAll()
  }
  for worker in owners {
    worker.run {}
    worker.stop()
  }
  threads.join()
}

/// A task that waits for buffers of shared pools, wherever it is.
private func waitOnShared(_ soak: Soak, seed: UInt64) async {
  var random = SeededGenerator(seed: seed)
  var tally = Tally()
  while !soak.stop.isSet {
    let r = random.next()
    guard let pool = soak.shared.withLock({ $0[Int(r & 3)] }) else {
      await Task.yield()
      continue
    }
    do {
      let netmem = try await pool.allocate(waiting: .microseconds(Int64(r >> 8) % 500))
      tally.note(.wait)
      soak.put(netmem, r, &tally)
    } catch {
      tally.note(error as? PagePoolError == .closed ? .waitClosed : .waitTimedOut)
    }
  }
  soak.add(tally)
}
