// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool
internal import Synchronization

/// What a provider did that it must not.
public struct ProviderFault: Error, CustomStringConvertible {
  /// The rule that was broken.
  public let description: String
}

/// Checks the contract of `MemoryProvider` from outside; every provider should pass it.
///
/// Takes all that the provider has, through pools on the calling thread, and gives it back, some of
/// it on another thread and after the pool was closed. At the end the provider has everything again
/// and no pool.
///
/// - Parameter provider: fresh (no pool attached), able to hand out at least one buffer, and used
///   by nobody else meanwhile. It need not be memory that the CPU can read.
/// - Throws: ``ProviderFault`` with the first rule that was broken, or what the provider's `attach`
///   throws.
public func checkMemoryProvider(_ provider: any MemoryProvider) throws {
  let pool = try PagePool(
    provider: provider, configuration: .init(ringCapacity: 0, name: "checked"))
  var addresses: Set<DeviceAddress> = []
  var held = NetmemBatch()
  var tokens: Set<NetmemToken> = []
  while let netmem = pool.allocate() {
    try require(netmem.byteCount == pool.iovByteCount, "every buffer has the slab's IOV size")
    try require(
      addresses.insert(netmem.deviceAddress).inserted, "no two buffers have the same address")
    let token = netmem.detach()
    try require(tokens.insert(token).inserted, "no two buffers have the same token")
    held.append(try pool.reclaim(token))
  }
  let count = held.count
  try require(count > 0, "refill hands out at least one buffer")
  try require(!canAllocate(pool), "an exhausted provider stays exhausted until a release")

  // Everything back, in another order, and out again: nothing is lost or doubled.
  var detached: [NetmemToken] = []
  while let netmem = held.popLast() { detached.append(netmem.detach()) }
  for token in detached.shuffled() { _ = try pool.reclaim(token) }
  try require(pool.inFlight.held == 0, "every buffer came back")
  held = takeAll(pool)
  try require(held.count == count, "as many buffers the second time as the first")

  // Two pools share the provider.
  let second = try PagePool(provider: provider, configuration: .init(name: "second"))
  try require(!canAllocate(second), "two pools never get the same buffer")
  _ = held.split(at: count - count / 2)

  // Buffers that outlive their pool are released wherever they die.
  let drained = Flag()
  pool.close { drained.set() }
  try require(drained.isSet == held.isEmpty, "close waits for the last buffer")
  let box = Mutex<NetmemBatch?>(held)
  onAnotherThread { box.withLock { $0 = nil } }
  try require(drained.isSet, "close ends with the last buffer, on whatever thread it dies")

  held = takeAll(second)
  try require(held.count == count, "the closed pool's buffers are there for the other pool")
  held.removeAll()
  let secondDrained = Flag()
  second.close { secondDrained.set() }
  try require(secondDrained.isSet, "nothing is left behind")
}

private func require(_ condition: Bool, _ rule: String) throws(ProviderFault) {
  if !condition { throw ProviderFault(description: rule) }
}

private func canAllocate(_ pool: PagePool) -> Bool { pool.allocate() != nil }

private func takeAll(_ pool: PagePool) -> NetmemBatch {
  var batch = NetmemBatch()
  while let netmem = pool.allocate() { batch.append(netmem) }
  return batch
}

/// What a pool's `close(whenDrained:)` sets.
private final class Flag: Sendable {
  private let value = Atomic<Bool>(false)

  func set() { value.store(true, ordering: .releasing) }
  var isSet: Bool { value.load(ordering: .acquiring) }
}
