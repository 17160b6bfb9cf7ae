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

/// Runs `body` on a second thread that is stopped at random, beside the calling one.
func beside(_ second: @escaping @Sendable () -> Void, _ first: () throws -> Void) rethrows {
  let worker = Worker()
  let ended = DispatchSemaphore(value: 0)
  cstorm_start(20, 60)
  cstorm_register()
  worker.start {
    cstorm_register()
    second()
    cstorm_unregister()
    ended.signal()
  }
  defer {
    ended.wait()
    worker.stop()
    cstorm_unregister()
    cstorm_stop()
  }
  try first()
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
    for storm in lifeCycleStorms + waiterStorms
    where chosen.isEmpty || storm.name.contains(chosen) {
      let rounds = storm.rounds * factor
      let fault = try await storm.run(rounds)
      print("\(storm.name): \(rounds) rounds, \(fault ?? "nothing found")")
      if fault != nil { failed += 1 }
    }
    print(
      "stopped threads \(cstorm_hits()) times; pools left: \(PagePoolRegistry.shared.pools.count)")
    if failed > 0 || !PagePoolRegistry.shared.pools.isEmpty { exit(1) }
  }
}
