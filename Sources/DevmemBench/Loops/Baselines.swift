// SPDX-License-Identifier: Apache-2.0

import CBenchSupport
import Synchronization

/// What the machine charges for next to nothing, to read the others by.
extension BenchCase {
  static let baselines = [
    BenchCase("for_loop", "one turn of an empty loop") { Loop { for_loop($0) } },
    BenchCase("atomic_inc", "an atomic increment") {
      let counter = Counter()
      return Loop { atomic_inc(counter, $0) }
    },
    BenchCase("lock", "lock + unlock of a mutex that nobody else wants") {
      let lock = Lock()
      return Loop { DevmemBench.lock(lock, $0) }
    },
  ]
}

private final class Counter: Sendable {
  let value = Atomic<Int>(0)
}

private final class Lock: Sendable {
  let value = Mutex<Int>(0)
}

@inline(never)
private func for_loop(_ count: Int) -> Int {
  var done: UInt64 = 0
  while done < UInt64(count) { done = cbench_opaque(done &+ 1) }
  return Int(done)
}

@inline(never)
private func atomic_inc(_ counter: Counter, _ count: Int) -> Int {
  for _ in 0..<count { counter.value.add(1, ordering: .relaxed) }
  return counter.value.exchange(0, ordering: .relaxed)
}

@inline(never)
private func lock(_ lock: Lock, _ count: Int) -> Int {
  for _ in 0..<count { lock.value.withLock { $0 &+= 1 } }
  return lock.value.withLock { value in
    defer { value = 0 }
    return value
  }
}
