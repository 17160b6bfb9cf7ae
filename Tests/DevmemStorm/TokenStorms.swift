// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

let tokenStorms: [Storm] = [
  Storm(name: "two threads reclaim the same tokens: one has each buffer", rounds: 3000) { rounds in
    let provider = try HostMemoryProvider(byteCount: 64 * 4096)
    let pool = try PagePool(provider: provider)
    let remote = pool.remote
    let tokens = Mutex<[NetmemToken]>([])
    let taken = Atomic<Int>(0)
    @Sendable func reclaimAll() {
      for token in tokens.withLock({ $0 }) {
        guard let netmem = try? remote.reclaim(token) else { continue }
        taken.add(1, ordering: .relaxed)
        _ = netmem
      }
    }
    var expected = 0
    beside(rounds) { _ in
      reclaimAll()
    } _: { round, go in
      var all: [NetmemToken] = []
      for position in 0..<8 {
        guard let netmem = pool.allocate() else { break }
        if position & 1 == 0 {
          let other = netmem.share()
          all.append(other.detach())
        }
        all.append(netmem.detach())
      }
      expected += all.count
      tokens.withLock { $0 = all }
      go()
      reclaimAll()
    }
    let count = taken.load(ordering: .relaxed)
    if count != expected { return "\(count) buffers for \(expected) tokens" }
    return pool.inFlight.held == 0 ? nil : "\(pool.inFlight)"
  },

  Storm(name: "made-up tokens, and those of other pools, gone ones too", rounds: 300_000) {
    rounds in
    var random = SeededGenerator(seed: 1)
    let provider = try HostMemoryProvider(byteCount: 256 * 4096)
    let pool = try PagePool(provider: provider)
    let other = try PagePool(provider: provider)
    var foreign: [NetmemToken] = []
    for position in 0..<64 {
      guard let netmem = other.allocate() else { break }
      if position & 1 == 0 { foreign.append(netmem.share().detach()) }
      foreign.append(netmem.detach())
    }
    var old: [NetmemToken] = []
    do {
      let gone = try PagePool(provider: HostMemoryProvider(byteCount: 16 * 4096))
      for _ in 0..<16 {
        guard let netmem = gone.allocate() else { break }
        old += [netmem.share().detach(), netmem.detach()]
      }
      for token in old { _ = try gone.reclaim(token) }
    }
    let mine = pool.allocate()!.detach()
    let before = pool.inFlight
    let refused = pool.statistics.refusedTokens
    for round in 0..<rounds {
      let raw = random.next()
      let token =
        switch round & 3 {
        case 0: NetmemToken(rawValue: raw)
        // The index of a buffer that is detached, and a generation that it has not.
        case 1: NetmemToken(rawValue: mine.rawValue ^ (raw | 1) << 32)
        case 2: foreign[Int(raw % UInt64(foreign.count))]
        default: old[Int(raw % UInt64(old.count))]
        }
      do {
        _ = try pool.reclaim(token)
        return "token \(token.rawValue) was accepted in round \(round)"
      } catch {}
    }
    if pool.inFlight != before { return "\(pool.inFlight), was \(before)" }
    if pool.statistics.refusedTokens != refused + UInt64(rounds) { return "not all were counted" }
    _ = try pool.reclaim(mine)
    for token in foreign { _ = try other.reclaim(token) }
    return other.inFlight.held == 0 && pool.inFlight.held == 0 ? nil : "something is still held"
  },

  Storm(name: "a token of memory that is gone fits none that gets its indices", rounds: 2000) {
    rounds in
    var tokens: Set<NetmemToken> = []
    for round in 0..<rounds {
      let pool = try PagePool(
        provider: HostMemoryProvider(byteCount: (1 + round % 3) * 4096),
        configuration: .init(cacheCapacity: 2, refillCount: 1))
      for old in tokens.prefix(20) where (try? pool.reclaim(old)) != nil {
        return "an old token was accepted by slab \(round)"
      }
      for _ in 0..<round % 7 {
        guard let token = pool.allocate()?.detach() else { continue }
        if !tokens.insert(token).inserted { return "token \(token.rawValue) was given out twice" }
        _ = try pool.reclaim(token)
      }
    }
    return nil
  },

  Storm(name: "pools that come and go leave neither memory nor descriptors behind", rounds: 20_000)
  {
    rounds in
    let provider = try HostMemoryProvider(byteCount: 1 << 20)
    var before: ResourceCount?
    var memory = 0
    for round in 0..<rounds {
      let pool = try PagePool(provider: provider)
      let cell = Carrier<Netmem>(pool.allocate()!)
      let batch = pool.allocateBatch(20)
      let fragment = pool.allocateFragment(byteCount: 100)
      cell.drop()
      _ = consume batch
      _ = consume fragment
      switch round % 4 {
      case 0: pool.close {}
      case 1: _ = pool.relinquish()
      case 2: try await pool.close(waitingAtMost: .seconds(1000))
      default: break
      }
      if round == rounds / 4 {
        before = try ResourceCount.now()
        memory = cstorm_used_bytes()
      }
    }
    let after = try ResourceCount.now()
    if let before, after != before { return "\(before), then \(after)" }
    // A pool has about 10 KiB: one in a hundred that stayed would show.
    let grown = cstorm_used_bytes() - memory
    return grown < 4 << 20 + rounds * 100 ? nil : "\(grown) bytes more"
  },
]
