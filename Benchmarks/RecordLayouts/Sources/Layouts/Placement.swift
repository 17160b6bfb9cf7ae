// SPDX-License-Identifier: Apache-2.0

/// Where things come to lie in memory.
///
/// Which cache lines and which low address bits two records share changes a loop of 2 ns by as much
/// as the layouts do. So everything starts on a cache line of its own, at distances that differ
/// from process to process, and the clock's figures are medians over several processes.
enum Placement {
  /// Set once, before anything is made.
  nonisolated(unsafe) static var seed: UInt64 = 1

  /// Memory for `count` values. Never freed.
  @unsafe
  static func allocate<Value: ~Copyable>(
    _ type: Value.Type, count: Int
  ) -> UnsafeMutablePointer<Value> {
    unsafe seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    _ = UnsafeMutableRawPointer.allocate(
      byteCount: 64 * Int(unsafe seed >> 58), alignment: 64)
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<Value>.stride * max(count, 1), alignment: 64)
    return unsafe raw.bindMemory(to: type, capacity: max(count, 1))
  }
}
