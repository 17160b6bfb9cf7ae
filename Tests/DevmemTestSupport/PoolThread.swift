// SPDX-License-Identifier: Apache-2.0

package import Devmem

/// An actor whose jobs all run on one thread, which can own a pool. (The main actor will not do: in
/// a test process several threads take turns at serving it.)
@globalActor
package actor PoolThread: SingleThreadActor {
  package static let shared = PoolThread()

  package nonisolated let executor: SingleThreadExecutor

  private init() {
    do {
      executor = try SingleThreadExecutor(name: "pool")
    } catch {
      fatalError("\(error)")
    }
  }
}
