// SPDX-License-Identifier: Apache-2.0

/// Where a pool gets its buffers from (`struct memory_provider_ops`).
///
/// The kernel's providers have to lie in its read-only data; here anybody may write one. A provider
/// owns one or more ``NetIOVSlab``s and decides which of their IOVs are out. `DevmemTestSupport`
/// has a conformance suite, `checkMemoryProvider(_:)`, that every provider should pass.
///
/// Thread rules: several pools may share a provider, and buffers that come back after their pool
/// was closed are released on whatever thread they die: every method may be called from any thread
/// at any time. The pool calls it 64 buffers at a time, off the fast path.
public protocol MemoryProvider: AnyObject, Sendable {
  /// A short name for reports, e.g. `dmabuf`.
  var name: String { get }

  /// Called when a pool is made (`init`). Returns every slab whose IOVs the pool may be given, all
  /// with the same IOV size.
  /// - Throws: anything; the pool is then not made, and ``detach(from:)`` is not called.
  func attach(to pool: PagePool.Identity) throws -> [NetIOVSlab]

  /// Appends up to `span.freeCapacity` IOVs that nobody else has (`alloc_netmems`). Appending none
  /// means exhausted.
  func refill(_ span: inout OutputSpan<NetIOVReference>)

  /// Takes IOVs back (`release_netmem`).
  func release(_ iovs: Span<NetIOVReference>)

  /// Called once when a closed pool has got its last buffer back (`destroy`).
  func detach(from pool: PagePool.Identity)
}
