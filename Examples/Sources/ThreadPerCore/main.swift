// SPDX-License-Identifier: Apache-2.0
// A thread per core, each with a pool of its own; all pools take from one provider.
import Devmem
import Foundation

/// One core's work: an actor whose thread owns the pool: no lock and no atomic is on its path.
actor Core: SingleThreadActor {
  nonisolated let executor: SingleThreadExecutor
  private let pool: PagePool

  init(_ processor: Int, _ provider: any MemoryProvider) async throws {
    executor = try SingleThreadExecutor(name: "rx\(processor)", placement: .processor(processor))
    pool = try await executor.run { try PagePool(provider: provider) }
  }

  func serve(_ packetCount: Int) -> UInt64 {
    for _ in 0..<packetCount where pool.allocate() == nil { return 0 }
    return pool.statistics.alloc.fast + pool.statistics.alloc.slow
  }
}

let dmabuf = try? DMABufMemoryProvider(DMABufCarving(.udmabuf(byteCount: 16 << 20)))
let provider: any MemoryProvider = try dmabuf ?? HostMemoryProvider(byteCount: 16 << 20)
var cores: [Core] = []
for processor in 0..<ProcessInfo.processInfo.processorCount {
  // What this process may not use is left out.
  if let core = try? await Core(processor, provider) { cores.append(core) }
}
var served: UInt64 = 0
await withTaskGroup(of: UInt64.self) { group in
  for core in cores { group.addTask { await core.serve(100_000) } }
  for await count in group { served += count }
}
precondition(!cores.isEmpty && served == UInt64(cores.count) * 100_000)
print("\(cores.count) threads took \(served) buffers out of \(provider.name) memory")
