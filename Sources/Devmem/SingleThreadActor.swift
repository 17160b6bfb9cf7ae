// SPDX-License-Identifier: Apache-2.0

/// An actor on a ``SingleThreadExecutor``: everything that is isolated to it runs on one thread,
/// which can own a `PagePool`.
///
/// All it takes is the executor, in a `nonisolated let`:
///
/// ```swift
/// import Devmem
///
/// actor Receiver: SingleThreadActor {
///   nonisolated let executor: SingleThreadExecutor
///   private let pool: PagePool
///
///   init(provider: any MemoryProvider) async throws {
///     executor = try SingleThreadExecutor(name: "rx0", placement: .processor(1))
///     pool = try await executor.run { try PagePool(provider: provider) }
///   }
///
///   func receive(_ post: (DeviceAddress) -> Void) {
///     while let buffer = pool.allocate() { post(buffer.deviceAddress) }
///   }
/// }
/// ```
///
/// The thread ends after the actor, unless somebody else holds the executor. Several actors may
/// share one: then they share its thread, and `assumeIsolated` holds between them. The body of an
/// `init` that is not `async` runs on the caller's thread, as with any actor.
public protocol SingleThreadActor: Actor {
  /// The executor that everything isolated to the actor runs on. The same one always: a
  /// `nonisolated let`.
  nonisolated var executor: SingleThreadExecutor { get }
}

extension SingleThreadActor {
  /// The executor, as the runtime asks for it.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }
}
