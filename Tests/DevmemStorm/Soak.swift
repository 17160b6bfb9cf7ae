// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// Who has which buffer. A second holder is a fault, and so is a byte that somebody else wrote.
final class HolderMap: Sendable {
  private let flags: [Flag]
  let faults = Atomic<Int>(0)
  let operations = Atomic<UInt64>(0)

  private final class Flag: Sendable { let isHeld = Atomic<Bool>(false) }

  init(_ count: Int) { flags = (0..<count).map { _ in Flag() } }

  func take(_ offset: UInt64) { change(offset, to: true) }
  func give(_ offset: UInt64) { change(offset, to: false) }

  private func change(_ offset: UInt64, to value: Bool) {
    if flags[Int(offset >> 12)].isHeld.exchange(value, ordering: .acquiringAndReleasing) == value {
      faults.add(1, ordering: .relaxed)
    }
  }
}

/// Random operations of everything on several threads: owners that come, hand over, close and end, and
/// threads that return what they gave out, one by one, in batches, as tokens and through returners.
func soak(seconds: Int) throws {
  let iovCount = 4096
  let provider = try HostMemoryProvider(byteCount: iovCount * 4096)
  let map = HolderMap(iovCount)
  let cells = (0..<512).map { _ in Carrier<Netmem>(nil) }
  let batches = (0..<64).map { _ in Carrier<NetmemBatch>(nil) }
  let stop = Turns()
  let drained = Turns()
  let opened = Turns()
  cstorm_start(200, 60)

  @Sendable func giveUp(
    _ netmem: consuming Netmem, _ random: UInt64, _ returner: inout NetmemReturner
  ) {
    map.give(netmem.offset)
    switch random & 3 {
    case 0: returner.put(netmem)
    case 1:
      let other = netmem.share()
      _ = consume netmem
      _ = consume other
    default: _ = consume netmem
    }
  }

  @Sendable func owner(_ seed: UInt64) {
    cstorm_register()
    var random = SeededGenerator(seed: seed)
    var returner = NetmemReturner(capacity: 16)
    var done: UInt64 = 0
    while stop.turn.load(ordering: .relaxed) == 0 {
      let configuration = PagePool.Configuration(
        cacheCapacity: 2 + Int(random.next() % 200), refillCount: 2,
        ringCapacity: Int(random.next() % 300), reserveCount: Int(random.next() % 3),
        tunesRefill: true,
        watermarks: .init(low: 8, high: 200) { _ in })
      guard let pool = try? PagePool(provider: provider, configuration: configuration) else {
        break
      }
      _ = opened.turn.add(1, ordering: .relaxed)
      let end = 2000 + random.next() % 60000
      for _ in 0..<end {
        let r = random.next()
        done += 1
        switch r & 15 {
        case 0...5:
          guard let netmem = pool.allocate(r & 64 == 0 ? .critical : .normal) else { continue }
          map.take(netmem.offset)
          let cell = cells[Int(r >> 8) & 511]
          if let old = cell.take() { giveUp(old, r >> 20, &returner) }
          cell.put(netmem, else: { giveUp($0, 2, &returner) })
        case 6:
          var batch = pool.allocateBatch(1 + Int(r >> 16) % 64)
          batch.forEach { map.take($0.offset) }
          if r & 64 == 0, batch.count > 1 { _ = batch.split(at: batch.count / 2).given(map) }
          batches[Int(r >> 8) & 63].put(batch, else: { _ = $0.given(map) })
        case 7:
          if var fragment = pool.allocateFragment(byteCount: 1 + Int(r >> 16) % 4096) {
            try? fragment.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
            let other = fragment.share()
            _ = consume fragment
            _ = consume other
          }
        case 8:
          if let netmem = pool.allocate() {
            let token = netmem.detach()
            if (try? pool.reclaim(token)) == nil { map.faults.add(1, ordering: .relaxed) }
            if (try? pool.reclaim(token)) != nil { map.faults.add(1, ordering: .relaxed) }
          }
        case 9:
          let flight = pool.inFlight
          if flight.held < 0 || flight.cached < 0 || flight.queued < 0 || flight.total > iovCount {
            map.faults.add(1, ordering: .relaxed)
          }
        default: _ = pool.allocate()
        }
      }
      returner.flush()
      switch random.next() & 3 {
      case 0: pool.close { drained.turn.add(1, ordering: .relaxed) }
      case 1:
        let remote = pool.remote
        pool.close { drained.turn.add(1, ordering: .relaxed) }
        remote.close {}
      case 2:
        // Another thread closes, while this one goes on.
        let remote = pool.remote
        let worker = Worker()
        worker.start { remote.close { drained.turn.add(1, ordering: .relaxed) } }
        for _ in 0..<random.next() % 3000 { _ = pool.allocate() }
        worker.run {}
        worker.stop()
      default:
        pool.remote.close { drained.turn.add(1, ordering: .relaxed) }
      }
    }
    returner.flush()
    map.operations.add(done, ordering: .relaxed)
    cstorm_unregister()
  }

  @Sendable func returns(_ seed: UInt64) {
    cstorm_register()
    var random = SeededGenerator(seed: seed)
    var returner = NetmemReturner(capacity: 16)
    var done: UInt64 = 0
    while stop.turn.load(ordering: .relaxed) == 0 {
      let r = random.next()
      done += 1
      switch r & 7 {
      case 0...4:
        if let netmem = cells[Int(r >> 8) & 511].take() { giveUp(netmem, r >> 20, &returner) }
      case 5, 6:
        if let batch = batches[Int(r >> 8) & 63].take() { _ = batch.given(map) }
      default: returner.flush()
      }
    }
    returner.flush()
    map.operations.add(done, ordering: .relaxed)
    cstorm_unregister()
  }

  let workers = (0..<4).map { _ in Worker() }
  for (number, worker) in workers.enumerated() {
    let seed = UInt64(number) + UInt64(Date().timeIntervalSince1970)
    worker.start { number < 2 ? owner(seed) : returns(seed) }
  }
  Thread.sleep(forTimeInterval: Double(seconds))
  stop.begin(1)
  for worker in workers {
    worker.run {}
    worker.stop()
  }
  cstorm_stop()
  for cell in cells { if let netmem = cell.take() { map.give(netmem.offset) } }
  for cell in batches { if let batch = cell.take() { _ = batch.given(map) } }
  let faults = map.faults.load(ordering: .relaxed)
  let lost = iovCount - provider.availableByteCount / 4096
  let pools = opened.turn.load(ordering: .relaxed)
  let open = pools - drained.turn.load(ordering: .relaxed)
  print(
    "\(map.operations.load(ordering: .relaxed)) operations on \(pools) pools, threads stopped"
      + " \(cstorm_hits()) times: \(faults) faults, \(lost) buffers lost, \(open) pools never ended"
  )
  if faults + lost + open != 0 { exit(1) }
}

extension NetmemBatch {
  /// Notes that the batch is given up, and lets it end.
  consuming func given(_ map: HolderMap) -> Int {
    forEach { map.give($0.offset) }
    return count
  }
}

extension Carrier where Value: ~Copyable {
  /// Puts a value where there is none, else gives it to `other`.
  func put(_ new: consuming Value, else other: (consuming Value) -> Void) {
    if let rest = exchange(new) { other(rest) }
  }
}
