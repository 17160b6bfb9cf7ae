// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import Synchronization

/// A carving's IOVs, and what has to last as long as the last of them that somebody holds: this
/// ring's place in the ledger of an instance that several share.
///
/// Thread rules: any thread.
final class ZeroCopyMemoryProvider: MemoryProvider {
  private let provider: DMABufMemoryProvider
  private let ledger = Mutex<ZeroCopyLedger?>(nil)

  init(_ carving: DMABufCarving) { provider = DMABufMemoryProvider(carving) }

  var carving: DMABufCarving { provider.carving }

  func keep(_ ledger: ZeroCopyLedger) { self.ledger.withLock { $0 = ledger } }

  var name: String { provider.name }

  func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { provider.attach(to: pool, access) }

  func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { provider.refill(&span, access) }

  func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { provider.release(iovs, access) }

  func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    provider.detach(from: pool, access)
  }
}
