// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// Hands a carving's IOVs to page pools (`dmabuf_devmem_ops`, net/core/devmem.c).
///
/// The kernel's takes one IOV per call out of its allocator; this one takes up to 64, one bitmap
/// word at a time. Several pools may share one: lock-free, any thread.
public final class DMABufMemoryProvider: MemoryProvider {
  /// The carving whose IOVs these are.
  package let carving: DMABufCarving

  private let place: IOVAllocator.Place

  /// A provider over a carving, which it keeps alive.
  ///
  /// Each provider takes IOVs from a place of its own: pools on several threads scale best with a
  /// provider each.
  public init(_ carving: DMABufCarving) {
    self.carving = carving
    place = IOVAllocator.Place(in: carving.allocator)
  }

  /// `dmabuf`
  public var name: String { "dmabuf" }

  /// The carving's slab. Never fails.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [carving.slab] }

  /// Appends free IOVs of the carving.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    carving.allocator.refill(&span, from: place)
  }

  /// Takes IOVs back.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { carving.allocator.release(iovs) }

  /// Nothing is kept per pool.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
}
