// SPDX-License-Identifier: Apache-2.0

import CStorm
import Devmem
import DevmemPagePool
import DevmemTestSupport
import Foundation
import Synchronization

/// A race or a misuse, tried many times. Returns what was found wrong, nil if nothing.
struct Storm: Sendable {
  let name: String
  /// What a short run does, for `make test`.
  let rounds: Int
  let run: @Sendable (_ rounds: Int) async throws -> String?
}

/// Carries what the compiler would not let go to another thread, for storms that mean it to.
final class Carrier<Value: ~Copyable>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value?
  init(_ value: consuming Value?) { self.value = value }
  func put(_ new: consuming Value) {
    lock.lock()
    let old = value.take()
    value = consume new
    lock.unlock()
    _ = consume old
  }
  func take() -> Value? {
    lock.lock()
    defer { lock.unlock() }
    return value.take()
  }
  /// Puts a value in and takes out what was there.
  func exchange(_ new: consuming Value) -> Value? {
    lock.lock()
    defer { lock.unlock() }
    let old = value.take()
    value = consume new
    return old
  }
  func drop() { _ = take() }
}

/// Two threads that meet once a round.
final class Turns: Sendable {
  let turn = Atomic<Int>(0)
  let done = Atomic<Int>(0)
  func begin(_ round: Int) { turn.store(round, ordering: .releasing) }
  func await(_ round: Int) { while turn.load(ordering: .acquiring) < round {} }
  func end(_ round: Int) { done.store(round, ordering: .releasing) }
  func awaitEnd(_ round: Int) { while done.load(ordering: .acquiring) < round {} }
}

/// Runs `second` on another thread beside `first` on the calling one, both stopped at random.
func beside(_ second: @escaping @Sendable () -> Void, _ first: () throws -> Void) rethrows {
  let others = Background([second])
  cstorm_register()
  defer {
    cstorm_unregister()
    others.join()
  }
  try first()
}

/// The same round by round: `first` says when `second` may begin; the round ends when both have.
func beside(
  _ rounds: Int, _ second: @escaping @Sendable (_ round: Int) -> Void,
  _ first: (_ round: Int, _ go: () -> Void) throws -> Void
) rethrows {
  let turns = Turns()
  try beside {
    for round in 1...rounds {
      turns.await(round)
      second(round)
      turns.end(round)
    }
  } _: {
    for round in 1...rounds {
      try first(round) { turns.begin(round) }
      turns.begin(round)
      turns.awaitEnd(round)
    }
  }
}

/// Threads that are stopped at random instructions until they end.
final class Background: Sendable {
  private let workers: [Worker]

  init(
    every period: UInt32 = 20, for nap: UInt32 = 60, _ bodies: [@Sendable () -> Void]
  ) {
    cstorm_start(period, nap)
    workers = bodies.map { body in
      let worker = Worker()
      worker.start {
        cstorm_register()
        body()
        cstorm_unregister()
      }
      return worker
    }
  }

  /// Waits until all have ended.
  func join() {
    for worker in workers {
      worker.run {}
      worker.stop()
    }
    cstorm_stop()
  }
}

/// Passes some hundred instructions.
func linger(_ count: Int) {
  let nothing = Atomic<Int>(0)
  for _ in 0..<count { _ = nothing.load(ordering: .relaxed) }
}

func left(_ provider: HostMemoryProvider, _ iovCount: Int) -> String? {
  let available = provider.availableByteCount / 4096
  return available == iovCount ? nil : "\(available) of \(iovCount) buffers are back"
}

@main
enum Main {
  static func main() async throws {
    let arguments = CommandLine.arguments
    if arguments.count > 2, arguments[1] == "soak" {
      try soak(seconds: Int(arguments[2]) ?? 60)
      return
    }
    let factor = arguments.count > 1 ? Int(arguments[1]) ?? 1 : 1
    let chosen = arguments.count > 2 ? arguments[2] : ""
    var failed = 0
    for storm in lifeCycleStorms + ownershipStorms + waiterStorms + tokenStorms + sharedPoolStorms
    where chosen.isEmpty || storm.name.contains(chosen) {
      let rounds = storm.rounds * factor
      let fault = try await storm.run(rounds)
      print("\(storm.name): \(rounds) rounds, \(fault ?? "nothing found")")
      fflush(nil)
      if fault != nil { failed += 1 }
    }
    print(
      "stopped threads \(cstorm_hits()) times; pools left: \(PagePoolRegistry.shared.pools.count)")
    if failed > 0 || !PagePoolRegistry.shared.pools.isEmpty { exit(1) }
  }
}
