// SPDX-License-Identifier: Apache-2.0

import CPeerBench
import Devmem

/// What the loops need of a pool of either kind.
protocol BufferSource {
  func next() -> Netmem?
}

extension PagePool: BufferSource {
  @inline(__always)
  func next() -> Netmem? { allocate() }
}

extension SharedPagePool: BufferSource {
  @inline(__always)
  func next() -> Netmem? { allocate() }
}

/// Buffers that are allocated here and end on another thread, one at a time: they just die there,
/// or go through a returner, which collects them as DPDK's cache of that thread does.
@safe
final class SingleCrossing<Pool: BufferSource> {
  // SAFETY: ring and slots are made in init and freed in deinit; the ring's counts say which side
  // may touch a slot.
  private let ring: UnsafeMutablePointer<peer_ring>
  private let slots: UnsafeMutablePointer<Netmem>
  private let pool: Pool
  private let count: Int
  private let collects: Bool

  init(_ pool: Pool, _ count: Int, collecting collects: Bool) {
    self.collects = collects
    unsafe ring = peer_ring_make(UInt64(peer_single_slots))
    unsafe slots = .allocate(capacity: peer_single_slots)
    self.pool = pool
    self.count = count
  }

  deinit {
    unsafe slots.deallocate()
    unsafe peer_ring_free(ring)
  }

  func run() -> Cases.Result {
    // The harness takes C functions, which cannot be generic.
    let sides = Sides(
      produce: produce, consume: { self.collects ? self.collect() : self.consume() })
    let spent = unsafe peer_time_pair(
      { context in unsafe Sides.of(context).produce() },
      { context in unsafe Sides.of(context).consume() },
      nil, nil, Unmanaged.passUnretained(sides).toOpaque())
    return withExtendedLifetime(sides) { (count, spent) }
  }

  private func produce() {
    let ring = unsafe self.ring
    let slots = unsafe self.slots
    let pool = self.pool
    for _ in 0..<count {
      guard let netmem = pool.next() else { fatalError("the pool is empty") }
      unsafe (slots + Int(peer_ring_claim(ring))).initialize(to: netmem)
      unsafe peer_ring_publish(ring)
    }
  }

  private func consume() {
    let ring = unsafe self.ring
    let slots = unsafe self.slots
    for _ in 0..<count {
      let netmem = unsafe (slots + Int(peer_ring_await(ring))).move()
      unsafe peer_ring_release(ring)
      _ = consume netmem
    }
  }

  private func collect() {
    let ring = unsafe self.ring
    let slots = unsafe self.slots
    var returner = NetmemReturner()
    for _ in 0..<count {
      let netmem = unsafe (slots + Int(peer_ring_await(ring))).move()
      unsafe peer_ring_release(ring)
      returner.put(netmem)
    }
  }
}

/// What the two threads do.
private final class Sides {
  let produce: () -> Void
  let consume: () -> Void
  init(produce: @escaping () -> Void, consume: @escaping () -> Void) {
    self.produce = produce
    self.consume = consume
  }

  static func of(_ context: UnsafeMutableRawPointer?) -> Sides {
    unsafe Unmanaged<Sides>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
  }
}

/// The same in bursts of 32: a batch is one slot.
@safe
final class BurstCrossing {
  // SAFETY: as in SingleCrossing.
  private let ring: UnsafeMutablePointer<peer_ring>
  private let slots: UnsafeMutablePointer<NetmemBatch>
  private let pool: PagePool
  private let burstCount: Int

  private static var burst: Int { peer_burst }

  init(_ pool: PagePool, _ count: Int) {
    unsafe ring = peer_ring_make(UInt64(peer_burst_slots))
    unsafe slots = .allocate(capacity: peer_burst_slots)
    self.pool = pool
    burstCount = (count + Self.burst - 1) / Self.burst
  }

  deinit {
    unsafe slots.deallocate()
    unsafe peer_ring_free(ring)
  }

  func run() -> Cases.Result {
    let spent = unsafe peer_time_pair(
      { context in unsafe BurstCrossing.of(context).produce() },
      { context in unsafe BurstCrossing.of(context).consume() },
      nil, nil, Unmanaged.passUnretained(self).toOpaque())
    return (burstCount * Self.burst, spent)
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> BurstCrossing {
    unsafe Unmanaged<BurstCrossing>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
  }

  private func produce() {
    let ring = unsafe self.ring
    let slots = unsafe self.slots
    let pool = self.pool
    for _ in 0..<burstCount {
      let batch = pool.allocateBatch(Self.burst)
      precondition(batch.count == Self.burst, "the pool is empty")
      unsafe (slots + Int(peer_ring_claim(ring))).initialize(to: batch)
      unsafe peer_ring_publish(ring)
    }
  }

  private func consume() {
    let ring = unsafe self.ring
    let slots = unsafe self.slots
    for _ in 0..<burstCount {
      let batch = unsafe (slots + Int(peer_ring_await(ring))).move()
      unsafe peer_ring_release(ring)
      _ = consume batch
    }
  }
}
