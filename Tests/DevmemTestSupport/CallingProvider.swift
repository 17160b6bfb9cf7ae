// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool
import Synchronization

/// A provider that calls back, once, while a pool calls it, and counts the pools that it has.
package final class CallingProvider: MemoryProvider {
  /// What the pool is at.
  package enum Call: Sendable {
    case refill
    case release
  }

  /// A struct: a closure that lies in a Mutex by itself gets wrapped once more each time that is
  /// locked.
  private struct Hook: Sendable {
    var call: Call
    var body: @Sendable () -> Void
  }

  private let inner: any MemoryProvider
  private let hook = Mutex<Hook?>(nil)
  private let attached = Atomic<Int>(0)

  package init(_ inner: any MemoryProvider) { self.inner = inner }

  /// Calls `body` in the next call of that kind, before anything else.
  package func callOnce(in call: Call, _ body: @escaping @Sendable () -> Void) {
    hook.withLock { $0 = Hook(call: call, body: body) }
  }

  /// Pools that are attached and not detached.
  package var poolCount: Int { attached.load(ordering: .acquiring) }

  private func call(_ call: Call) {
    let body = hook.withLock { hook -> (@Sendable () -> Void)? in
      guard let wanted = hook, wanted.call == call else { return nil }
      hook = nil
      return wanted.body
    }
    body?()
  }

  package var name: String { "calling \(inner.name)" }

  package func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) throws -> [NetIOVSlab] {
    let slabs = try inner.attach(to: pool, access)
    attached.add(1, ordering: .relaxed)
    return slabs
  }

  package func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    call(.refill)
    inner.refill(&span, access)
  }

  package func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    call(.release)
    inner.release(iovs, access)
  }

  package func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    inner.detach(from: pool, access)
    attached.subtract(1, ordering: .releasing)
  }
}
