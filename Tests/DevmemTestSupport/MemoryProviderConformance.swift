// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// What a provider did that it must not.
public struct ProviderFault: Error, CustomStringConvertible {
  /// The rule that was broken.
  public let description: String
}

/// Checks the contract of ``MemoryProvider`` from outside; every provider should pass it.
///
/// The provider must be fresh (no pool attached) and able to hand out at least one buffer.
/// - Throws: ``ProviderFault`` with the first rule that was broken.
public func checkMemoryProvider(_ provider: any MemoryProvider) throws {
  func require(_ condition: Bool, _ rule: String) throws {
    if !condition { throw ProviderFault(description: rule) }
  }
  let pool = try PagePool(
    provider: provider, configuration: .init(ringCapacity: 0, name: "checked"))
  var held: [Held] = []
  var addresses: Set<DeviceAddress> = []
  var tokens: Set<NetmemToken> = []
  while let netmem = pool.allocate() {
    try require(netmem.byteCount == pool.iovByteCount, "every buffer has the slab's IOV size")
    try require(
      addresses.insert(netmem.deviceAddress).inserted, "no two buffers have the same address")
    let token = netmem.detach()
    try require(tokens.insert(token).inserted, "no two buffers have the same token")
    held.append(Held(try pool.reclaim(token)))
  }
  try require(!held.isEmpty, "refill hands out at least one buffer")
  try require(pool.allocate() == nil, "an exhausted provider stays exhausted until a release")
  let count = held.count

  // Everything back, in another order, and out again: nothing is lost or doubled.
  held.shuffle()
  held.removeAll()
  try require(pool.inFlight.held == 0, "every buffer came back")
  while let netmem = pool.allocate() { held.append(Held(netmem)) }
  try require(held.count == count, "as many buffers the second time as the first")

  // Two pools share the provider.
  let second = try PagePool(provider: provider, configuration: .init(name: "second"))
  try require(second.allocate() == nil, "two pools never get the same buffer")
  let half = held.count / 2
  held.removeLast(held.count - half)

  // Buffers that outlive their pool are released wherever they die.
  var isDrained = false
  let drained = DrainFlag()
  pool.close { drained.set() }
  isDrained = drained.isSet
  try require(isDrained == held.isEmpty, "close waits for the last buffer")
  let worker = Worker()
  let last = held
  held = []
  worker.run { for box in last { box.drop() } }
  worker.stop()
  try require(drained.isSet, "close ends with the last buffer, on whatever thread it dies")

  var regained: [Held] = []
  while let netmem = second.allocate() { regained.append(Held(netmem)) }
  try require(regained.count == count, "the closed pool's buffers are there for the other pool")
  regained = []
  let secondDrained = DrainFlag()
  second.close { secondDrained.set() }
  try require(secondDrained.isSet, "nothing is left behind")
}
