// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import Glibc
import Synchronization

/// Small, seedable, the same everywhere (splitmix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

/// Everything that can be seen of a pool from outside. Two of them are equal only if no chunk and
/// no granule changed: it lists every free run of every chunk.
struct Fingerprint: Equatable {
  struct ChunkFacts: Equatable {
    let slot: Int
    let base: UInt64
    let byteCount: Int
    let node: Int?
    let owner: ObjectIdentifier?
    let availableByteCount: Int
  }

  let chunks: [ChunkFacts]
  let byteCount: Int
  let availableByteCount: Int
  let fragmentation: GenPool.Fragmentation

  init(_ pool: GenPool) {
    chunks = pool.chunks.map {
      ChunkFacts(
        slot: $0.slot, base: $0.base, byteCount: $0.byteCount, node: $0.node,
        owner: pool.owner(of: $0).map { ObjectIdentifier($0) },
        availableByteCount: pool.availableByteCount(of: $0))
    }
    byteCount = pool.byteCount
    availableByteCount = pool.availableByteCount
    fragmentation = pool.fragmentation
  }
}

final class Owner: Sendable {
  let name: String
  let onDeinit: @Sendable () -> Void
  init(_ name: String, onDeinit: @escaping @Sendable () -> Void = {}) {
    self.name = name
    self.onDeinit = onDeinit
  }
  deinit { onDeinit() }
}

/// Runs `body` on `count` threads of their own, all released at once, and waits for all of them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  final class Start: Sendable {
    let index: Int
    let gate: Gate
    let body: @Sendable (Int) -> Void
    init(index: Int, gate: Gate, body: @escaping @Sendable (Int) -> Void) {
      self.index = index
      self.gate = gate
      self.body = body
    }
  }
  final class Gate: Sendable { let waiting = Atomic<Int>(0) }

  let gate = Gate()
  var threads: [pthread_t] = []
  for index in 0..<count {
    let start = unsafe Unmanaged.passRetained(Start(index: index, gate: gate, body: body))
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { raw in
        guard let raw = unsafe raw else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
        start.gate.waiting.subtract(1, ordering: .acquiringAndReleasing)
        while start.gate.waiting.load(ordering: .acquiring) < 0 { sched_yield() }
        start.body(start.index)
        return nil
      }, start.toOpaque())
    precondition(error == 0, "pthread_create: \(error)")
    threads.append(thread)
  }
  gate.waiting.add(count, ordering: .acquiringAndReleasing)
  for thread in threads { pthread_join(thread, nil) }
}
