// SPDX-License-Identifier: Apache-2.0

/// Where a pool gets its buffers from (`struct memory_provider_ops`).
///
/// The kernel's providers have to lie in its read-only data; here anybody may write one. A provider
/// owns one or more ``NetIOVSlab``s and decides which of their IOVs are out. `DevmemTesting`
/// has a conformance suite, `checkMemoryProvider(_:)`, that every provider should pass.
///
/// Thread rules: several pools may share a provider, and buffers that come back after their pool
/// was closed are released on whatever thread they die: every method may be called from any thread
/// at any time. The pool calls it 64 buffers at a time, off the fast path.
///
/// A provider may return buffers of other pools, close pools and drop references in its methods:
/// the pool that calls is in order before each call. It must not allocate from the pool that calls,
/// nor wait for another thread that uses it.
public protocol MemoryProvider: AnyObject, Sendable {
  /// A short name for reports, e.g. `dmabuf`.
  var name: String { get }

  /// Called when a pool is made (`init`). Returns every slab whose IOVs the pool may be given, all
  /// with the same IOV size.
  /// - Throws: anything; the pool is then not made, and `detach` is not called.
  func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) throws -> [NetIOVSlab]

  /// Appends up to `span.freeCapacity` IOVs that nobody else has (`alloc_netmems`). Appending none
  /// means exhausted.
  func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess)

  /// Takes IOVs back (`release_netmem`).
  func release(_ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess)

  /// Called once when a closed pool has got its last buffer back (`destroy`).
  func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess)
}

/// What a pool shows to a provider that it calls. Nobody else can make one, so a buffer that is in
/// use cannot be released behind its pool's back; a provider that wraps another hands it on, and
/// cannot keep it.
public struct MemoryProviderAccess: ~Copyable {
  init() {}
}
