// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// Hands a binding's IOVs to page pools (`dmabuf_devmem_ops`, net/core/devmem.c).
///
/// The kernel's takes one IOV per call out of its allocator; this one takes up to 64, one bitmap word
/// at a time. Several pools may share one: lock-free, any thread.
public final class DMABufMemoryProvider: MemoryProvider {
  /// The binding whose IOVs these are.
  public let binding: DMABufBinding

  private let place: IOVAllocator.Place

  /// A provider over a binding, which it keeps alive.
  ///
  /// Each provider takes IOVs from a place of its own: pools on several threads scale best with a
  /// provider each.
  public init(_ binding: DMABufBinding) {
    self.binding = binding
    place = IOVAllocator.Place(in: binding.allocator)
  }

  /// `dmabuf`
  public var name: String { "dmabuf" }

  /// The binding's slab. Never fails.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [binding.slab] }

  /// Appends free IOVs of the binding.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    binding.allocator.refill(&span, from: place)
  }

  /// Takes IOVs back.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { binding.allocator.release(iovs) }

  /// Nothing is kept per pool.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
}
