// SPDX-License-Identifier: Apache-2.0

import CPeerBench
import Devmem
import Synchronization

/// Counterparts of the cases of the kernel's page pool benchmark, under this library's names for
/// them.
enum KernelCases {
  static func run(_ name: String, _ count: Int) throws -> Cases.Result? {
    let begin: UInt64
    switch name {
    case "for_loop":
      begin = peer_now()
      forLoop(count)
    case "atomic_inc":
      begin = peer_now()
      atomicIncrement(count)
    case "lock":
      begin = peer_now()
      lock(count)
    case "return_queue":
      return try ReturnQueueLoop(count).run()
    case "slow":
      let pool = try slowPool()
      begin = peer_now()
      return (slow(pool, count), peer_now() - begin)
    default: return nil
    }
    return (count, peer_now() - begin)
  }

  @inline(never)
  private static func forLoop(_ count: Int) {
    for _ in 0..<count { peer_escape(nil) }
  }

  @inline(never)
  private static func atomicIncrement(_ count: Int) {
    let value = Atomic<Int>(0)
    for _ in 0..<count { value.wrappingAdd(1, ordering: .relaxed) }
  }

  @inline(never)
  private static func lock(_ count: Int) {
    let mutex = Mutex(0)
    for _ in 0..<count { mutex.withLock { $0 &+= 1 } }
  }

  // MARK: slow

  /// More buffers at once than `slowPool` keeps.
  private static let slowWindow = 4096

  /// A pool that keeps nothing beyond its cache.
  private static func slowPool() throws -> PagePool {
    let provider = try HostMemoryProvider(byteCount: 2 * slowWindow * 4096)
    return try PagePool(provider: provider, configuration: .init(ringCapacity: 0))
  }

  /// Nearly every buffer comes from the provider and goes back to it.
  @inline(never)
  private static func slow(_ pool: PagePool, _ count: Int) -> Int {
    var done = 0
    unsafe withUnsafeTemporaryAllocation(of: Netmem.self, capacity: slowWindow) { window in
      let slots = unsafe window.baseAddress.unsafelyUnwrapped
      while done < count {
        for position in 0..<slowWindow {
          guard let netmem = pool.allocate() else { fatalError("the pool is empty") }
          unsafe (slots + position).initialize(to: netmem)
        }
        for position in 0..<slowWindow { _ = unsafe (slots + position).move() }
        done += slowWindow
      }
    }
    return done
  }
}

/// Buffers that come back over the return queue: allocated here, 1024 at a time, and let go of on
/// another thread, turn and turn about. The two never run at once, so that instructions are exact;
/// waking each other up is spread over 1024 buffers.
@safe
final class ReturnQueueLoop {
  // SAFETY: the semaphores order the two sides' uses of `slots`.
  private let slots: UnsafeMutablePointer<Netmem>
  private let turns: UnsafeMutablePointer<peer_turns>
  private let pool: PagePool
  private let roundCount: Int

  private static let burst = 1024

  init(_ count: Int) throws {
    let provider = try HostMemoryProvider(byteCount: 4 * Self.burst * 4096)
    pool = try PagePool(provider: provider)
    roundCount = (count + Self.burst - 1) / Self.burst
    unsafe slots = .allocate(capacity: Self.burst)
    unsafe turns = peer_turns_make()
  }

  deinit {
    unsafe slots.deallocate()
    unsafe peer_turns_free(turns)
  }

  func run() -> Cases.Result {
    let spent = unsafe peer_time_pair(
      { context in unsafe ReturnQueueLoop.of(context).produce() },
      { context in unsafe ReturnQueueLoop.of(context).consume() },
      nil, nil, Unmanaged.passUnretained(self).toOpaque())
    return (roundCount * Self.burst, spent)
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> ReturnQueueLoop {
    unsafe Unmanaged<ReturnQueueLoop>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
  }

  private func produce() {
    let slots = unsafe self.slots
    let pool = self.pool
    for _ in 0..<roundCount {
      for position in 0..<Self.burst {
        guard let netmem = pool.allocate() else { fatalError("the pool is empty") }
        unsafe (slots + position).initialize(to: netmem)
      }
      unsafe peer_turns_pass(turns, 1)
      unsafe peer_turns_wait(turns, 0)
    }
  }

  private func consume() {
    let slots = unsafe self.slots
    for _ in 0..<roundCount {
      unsafe peer_turns_wait(turns, 1)
      for position in 0..<Self.burst { _ = unsafe (slots + position).move() }
      unsafe peer_turns_pass(turns, 0)
    }
  }
}
