// SPDX-License-Identifier: Apache-2.0
// A fake provider in your own tests: a card that does not exist, checked by the library's suite.
import DevmemPagePool
import DevmemTesting
import Synchronization
import Testing

/// What keeps the memory, in real life a mapping of the card.
final class Card: Sendable {}

/// Memory at made-up device addresses, which no CPU can reach.
final class FakeCard: MemoryProvider {
  let name = "fake card"
  private let slab: NetIOVSlab
  private let free = Mutex([Int](0..<100))

  init() throws {
    let window = DeviceAddress(0x8000_0000, kind: .physical)
    let run = NetIOVArea.Layout(baseVirtual: 0, baseAddress: window, iovCount: 100, kind: .device)
    slab = try NetIOVSlab(iovByteCount: 4096, layout: [run], backing: Card())
  }

  func attach(to: PagePool.Identity, _: borrowing MemoryProviderAccess) -> [NetIOVSlab] { [slab] }
  func detach(from: PagePool.Identity, _: borrowing MemoryProviderAccess) {}
  func refill(_ span: inout OutputSpan<NetIOVReference>, _: borrowing MemoryProviderAccess) {
    while !span.isFull, let index = free.withLock({ $0.popLast() }) { span.append(slab[index]) }
  }
  func release(_ iovs: Span<NetIOVReference>, _: borrowing MemoryProviderAccess) {
    for position in iovs.indices { free.withLock { $0.append(slab.index(of: iovs[position])!) } }
  }
}

@Test("the card keeps the contract of providers") func contract() throws {
  try checkMemoryProvider(FakeCard())
}
