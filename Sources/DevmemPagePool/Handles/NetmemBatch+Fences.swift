// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How many handles of a pool wait for a device, and have. Nobody looks at it, or writes it, where
/// no buffer is put after a fence.
struct FenceCounts: ~Copyable {
  /// Handles that were put after a fence that has not signalled: their buffers are still held.
  let pending = Atomic<Int>(0)
  /// Handles that were put after a fence that has signalled, with an error or without.
  let ended = Atomic<UInt64>(0)
  /// Those of them whose fence had an error.
  let failed = Atomic<UInt64>(0)

  fileprivate func begin(_ count: Int) {
    pending.add(count, ordering: .relaxed)
  }

  fileprivate func end(_ count: Int, hasFailed: Bool) {
    pending.subtract(count, ordering: .relaxed)
    ended.add(UInt64(count), ordering: .relaxed)
    if hasFailed { failed.add(UInt64(count), ordering: .relaxed) }
  }
}

/// A batch that is put after a fence: its pools count its handles while it waits. Who waits, and
/// for what, is not this module's: it holds the batch meanwhile.
extension NetmemBatch {
  /// Appends all buffers of another batch.
  package mutating func append(contentsOf other: consuming NetmemBatch) {
    if isEmpty {
      self = other
    } else {
      while let netmem = other.popLast() { append(netmem) }
    }
  }

  /// The pools of all buffers count them as waiting for a fence.
  package borrowing func beginFence() {
    forEachPool { counts, count in counts.begin(count) }
  }

  /// The pools of all buffers count them as waiting no more. The caller drops the batch next: as
  /// long as it has the buffers, it has their pools.
  package borrowing func endFence(hasFailed: Bool) {
    forEachPool { counts, count in counts.end(count, hasFailed: hasFailed) }
  }

  /// Names the pool of all, or of each buffer where they are of several.
  private borrowing func forEachPool(_ body: (borrowing FenceCounts, _ handleCount: Int) -> Void) {
    guard used > 0, let storage else { return }
    if let pool = unsafe pool {
      unsafe pool.pointee.core._withUnsafeGuaranteedRef { body($0.fenceCounts, used) }
      return
    }
    for position in 0..<used {
      let record = unsafe storage.slots[position].record
      let pool = unsafe record.pointee.pool.load(ordering: .relaxed).unsafelyUnwrapped
      unsafe pool.pointee.core._withUnsafeGuaranteedRef { body($0.fenceCounts, 1) }
    }
  }
}

extension NetmemFragment {
  /// Gives up the fragment for the handle to the whole buffer that it has.
  package consuming func takeNetmem() -> Netmem { netmem }
}

extension PoolCore {
  /// Adds to a snapshot what waits for fences.
  func counting(_ inFlight: PagePool.InFlight) -> PagePool.InFlight {
    var result = inFlight
    result.fenced = fenceCounts.pending.load(ordering: .relaxed)
    return result
  }

  /// Adds to a snapshot what has waited for fences.
  func counting(_ statistics: PagePool.Statistics) -> PagePool.Statistics {
    var result = statistics
    result.fenced = fenceCounts.ended.load(ordering: .relaxed)
    result.fenceFailures = fenceCounts.failed.load(ordering: .relaxed)
    return result
  }
}
