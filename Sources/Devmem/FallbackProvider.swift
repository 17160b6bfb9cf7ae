// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool
import Synchronization

/// Device memory first, host pages when that runs out, and a count of how often.
///
/// A refill that the first provider can serve at least in part is served by it alone; only when it
/// has nothing at all is the second one asked. Both must have the same IOV size (the pool checks).
/// Any thread, if both providers allow it.
public final class FallbackProvider: MemoryProvider {
  private let first: any MemoryProvider
  private let second: any MemoryProvider
  /// The slabs of `first`, known from the first attach on.
  private let firstSlabs = Mutex<[NetIOVSlab]>([])
  private let fallbacks = Atomic<UInt64>(0)

  /// A provider that takes from `first` while it can and from `second` when it cannot.
  public init(_ first: any MemoryProvider, then second: any MemoryProvider) {
    self.first = first
    self.second = second
  }

  /// The names of both, e.g. `dmabuf, else host`.
  public var name: String { "\(first.name), else \(second.name)" }

  /// Buffers that `second` has provided so far.
  public var fallbackCount: UInt64 { fallbacks.load(ordering: .relaxed) }

  /// The slabs of both.
  /// - Throws: what either throws; neither is attached then.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) throws -> [NetIOVSlab] {
    let slabs = try first.attach(to: pool, access)
    do {
      let all = try slabs + second.attach(to: pool, access)
      firstSlabs.withLock { known in
        for slab in slabs where !known.contains(where: { $0 === slab }) { known.append(slab) }
      }
      return all
    } catch {
      first.detach(from: pool, access)
      throw error
    }
  }

  /// Appends buffers of the first provider, or of the second one if the first has none.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    let before = span.count
    first.refill(&span, access)
    guard span.count == before else { return }
    second.refill(&span, access)
    fallbacks.add(UInt64(span.count - before), ordering: .relaxed)
  }

  /// Gives each buffer back to the provider that it came from.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    let slabs = firstSlabs.withLock { $0 }
    func isFirst(_ position: Int) -> Bool {
      slabs.contains { $0.index(of: iovs[position]) != nil }
    }
    var start = 0
    while start < iovs.count {
      let belongsToFirst = isFirst(start)
      var end = start + 1
      while end < iovs.count, isFirst(end) == belongsToFirst { end += 1 }
      (belongsToFirst ? first : second).release(iovs.extracting(start..<end), access)
      start = end
    }
  }

  /// Detaches both.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    first.detach(from: pool, access)
    second.detach(from: pool, access)
  }
}
