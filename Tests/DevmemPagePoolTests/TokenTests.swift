// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Synchronization
import Testing

@testable import DevmemPagePool

@Suite("Tokens")
struct TokenTests {
  /// What must not change when a token is refused.
  private func fingerprint(_ pool: PagePool) -> [AnyHashable] {
    var statistics = pool.statistics
    statistics.refusedTokens = 0
    return [pool.inFlight, statistics]
  }

  @Test("a detached buffer stays out of its pool until its token is reclaimed")
  func roundTrip() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let netmem = try pool.take()
    let offset = netmem.offset
    let token = netmem.detach()
    #expect(pool.inFlight.held == 1)
    let back = try pool.reclaim(NetmemToken(rawValue: token.rawValue))
    #expect(back.offset == offset)
    _ = consume back
    #expect(pool.inFlight.held == 0)
  }

  @Test("a token is good once")
  func repeated() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 8))
    let token = try pool.take().detach()
    let held = Held(try pool.reclaim(token))
    let before = fingerprint(pool)
    #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try pool.reclaim(token) }
    #expect(fingerprint(pool) == before)
    held.drop()
    #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try pool.reclaim(token) }
    #expect(pool.statistics.refusedTokens == 2)
  }

  @Test("a token from an earlier use of the buffer is stale")
  func stale() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let old = try pool.take().detach()
    _ = try pool.reclaim(old)
    let token = try pool.take().detach()
    #expect(token != old)
    let before = fingerprint(pool)
    #expect(throws: NetmemTokenError.stale) { _ = try pool.reclaim(old) }
    #expect(fingerprint(pool) == before)
    _ = try pool.reclaim(token)
  }

  @Test("a token of another pool is foreign, also when both pools share the provider")
  func foreign() throws {
    let provider = try ListProvider(iovCount: 128)
    let a = try PagePool(provider: provider)
    let b = try PagePool(provider: provider)
    let c = try PagePool(provider: ListProvider(iovCount: 8))
    let token = try a.take().detach()
    let other = Held(try b.take())
    let before = fingerprint(b)
    #expect(throws: NetmemTokenError.stale) { _ = try b.reclaim(token) }
    #expect(fingerprint(b) == before)
    #expect(throws: NetmemTokenError.foreign) { _ = try c.reclaim(token) }
    _ = try a.reclaim(token)
    other.drop()
  }

  @Test("a buffer that is held, not detached, cannot be had by guessing its token")
  func guessed() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let token = try pool.take().detach()
    let held = Held(try pool.reclaim(token))
    for generation in 0..<4 as Range<UInt32> {
      let guess = NetmemToken(index: token.index, generation: token.generation &+ generation)
      #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(guess) }
    }
    #expect(held.with { $0.referenceCount } == 1)
    #expect(pool.inFlight.held == 1)
  }

  @Test("made-up tokens are refused and nothing changes", arguments: 0..<4 as Range<UInt64>)
  func madeUp(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let pool = try PagePool(provider: ListProvider(iovCount: 64))
    let token = try pool.take().detach()
    let before = fingerprint(pool)
    for _ in 0..<10_000 {
      var guess = NetmemToken(rawValue: random.next())
      if Bool.random(using: &random) {
        guess = NetmemToken(
          index: token.index &+ UInt32.random(in: 0..<70, using: &random),
          generation: guess.generation)
      }
      guard guess != token else { continue }
      #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(guess) }
    }
    #expect(fingerprint(pool) == before)
    _ = try pool.reclaim(token)
  }

  @Test("every reference to a shared buffer can be detached, each token is good once")
  func sharedTokens() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 4))
    let first = try pool.take()
    let second = first.share()
    let third = first.share()
    let tokens = [first.detach(), second.detach(), third.detach()]
    #expect(Set(tokens).count == 3)
    #expect(pool.inFlight.held == 1)
    for (position, token) in tokens.reversed().enumerated() {
      _ = try pool.reclaim(token)
      #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try pool.reclaim(token) }
      #expect(pool.inFlight.held == (position == 2 ? 0 : 1))
    }
    let other = try PagePool(provider: ListProvider(iovCount: 4))
    let again = try pool.take()
    let shared = again.share()
    let pair = [again.detach(), shared.detach()]
    #expect(throws: NetmemTokenError.self) { _ = try other.reclaim(pair[1]) }
    for token in pair { _ = try pool.reclaim(token) }
    #expect(pool.inFlight.held == 0)
  }

  @Test("a generation that wraps keeps old tokens out")
  func wrap() throws {
    let provider = try ListProvider(iovCount: 1)
    let pool = try PagePool(provider: provider)
    let netmem = try pool.take()
    unsafe netmem.record.pointee.generation.store(UInt32.max - 1, ordering: .relaxed)
    let last = netmem.detach()
    #expect(last.generation == UInt32.max)
    let wrapped = try pool.reclaim(last).detach()
    #expect(wrapped.generation == 1)
    #expect(throws: NetmemTokenError.stale) { _ = try pool.reclaim(last) }
    _ = try pool.reclaim(wrapped)
  }

  @Test("tokens are reclaimed on any thread, also while the pool closes")
  func closing() throws {
    let provider = try ListProvider(iovCount: 8)
    let pool = try PagePool(provider: provider)
    let token = try pool.take().detach()
    let drained = DrainFlag()
    pool.close { drained.set() }
    #expect(!drained.isSet)
    let worker = Worker()
    let remote = pool.remote
    worker.run { _ = try? remote.reclaim(token) }
    worker.stop()
    #expect(drained.isSet)
    #expect(throws: NetmemTokenError.stale) { _ = try pool.reclaim(token) }
    #expect(provider.outCount == 0)
  }

  @Test("a slab that gets the indices of one that is gone does not accept its tokens")
  func reusedIndices() throws {
    var old: NetmemToken?
    do {
      let pool = try PagePool(provider: ListProvider(iovCount: 33))
      let token = try pool.take().detach()
      _ = try pool.reclaim(token)
      old = token
    }
    let pool = try PagePool(provider: ListProvider(iovCount: 33))
    let held = Held(try pool.take())
    #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(try #require(old)) }
    held.drop()
  }

  @Test("a token of a slab that is gone fits none of the thousands that get its indices")
  func manySlabs() throws {
    func use(_ old: NetmemToken?) throws -> NetmemToken {
      let pool = try PagePool(
        provider: ListProvider(iovCount: 1), configuration: .init(cacheCapacity: 2, refillCount: 1))
      var token = try pool.take().detach()
      for _ in 0..<3 { token = try pool.reclaim(token).detach() }
      if let old { #expect(throws: NetmemTokenError.self) { _ = try pool.reclaim(old) } }
      _ = try pool.reclaim(token)
      return token
    }
    let old = try use(nil)
    var same = 0
    for _ in 0..<8000 { same += try use(old) == old ? 1 : 0 }
    #expect(same == 0)
  }

  @Test("a second reference's token is of its pool alone, also when that pool is gone")
  func sharedTokensAreOfTheirPool() throws {
    func second(_ pool: PagePool) throws -> (NetmemToken, NetmemToken) {
      let netmem = try pool.take()
      let other = netmem.share()
      return (netmem.detach(), other.detach())
    }
    let a = try PagePool(provider: ListProvider(iovCount: 4))
    let b = try PagePool(provider: ListProvider(iovCount: 4))
    let ofA = try second(a)
    let ofB = try second(b)
    #expect(throws: NetmemTokenError.foreign) { _ = try b.reclaim(ofA.1) }
    #expect(throws: NetmemTokenError.foreign) { _ = try a.reclaim(ofB.1) }
    for token in [ofA.0, ofA.1] { _ = try a.reclaim(token) }
    for token in [ofB.0, ofB.1] { _ = try b.reclaim(token) }
    #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try b.reclaim(ofA.1) }
    #expect(throws: NetmemTokenError.alreadyReclaimed) { _ = try b.reclaim(ofB.1) }
  }
}
