// SPDX-License-Identifier: Apache-2.0
// A pool stays on its actor's thread.
import Devmem

actor Receiver: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  let pool: PagePool

  init(provider: any MemoryProvider) async throws {
    executor = try SingleThreadExecutor(name: "rx")
    pool = try await executor.run { try PagePool(provider: provider) }
  }
}

func misuse(_ receiver: Receiver) async -> Bool {
  // expected-error: non-Sendable type 'PagePool' of property 'pool' cannot exit actor-isolated
  await receiver.pool.allocate() == nil
}
