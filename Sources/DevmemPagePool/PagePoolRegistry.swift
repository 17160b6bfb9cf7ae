// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Every pool of the process that still has buffers out or can be allocated from: the counterpart
/// of netdev's `page-pool-get`. Any thread.
public final class PagePoolRegistry: Sendable {
  /// The registry of this process.
  public static let shared = PagePoolRegistry()

  /// One pool, as `page-pool-get` would show it.
  public struct Entry: Sendable {
    /// Number and name.
    public let identity: PagePool.Identity
    /// The provider's name.
    public let provider: String
    /// Size of a buffer in bytes.
    public let iovByteCount: Int
    /// Where its buffers are; a snapshot.
    public let inFlight: PagePool.InFlight
    /// Bytes out of the provider (`inflight-mem`).
    public var inFlightByteCount: Int { inFlight.total * iovByteCount }
    /// How long ago the pool was closed, nil while it is open (`detach-time`).
    public let timeSinceClose: Duration?
    /// What it has done so far; a snapshot.
    public let statistics: PagePool.Statistics
  }

  private struct Contents {
    var lastID: UInt64 = 0
    var cores: [UInt64: PagePoolCore] = [:]
  }

  /// What keeps a pool's core alive, also when the user's reference to the pool is gone.
  private let contents = Mutex(Contents())

  /// All pools, oldest first. A pool is gone from here at once when it is closed and its last buffer
  /// is back.
  public var pools: [Entry] {
    let cores = contents.withLock { Array($0.cores.values) }
    return cores.sorted { $0.identity.id < $1.identity.id }.map { core in
      Entry(
        identity: core.identity, provider: core.provider.name, iovByteCount: core.iovByteCount,
        inFlight: core.inFlight, timeSinceClose: core.timeSinceClose, statistics: core.statistics)
    }
  }

  func nextIdentity(name: String) -> PagePool.Identity {
    contents.withLock { contents in
      contents.lastID += 1
      return PagePool.Identity(id: contents.lastID, name: name)
    }
  }

  func add(_ core: PagePoolCore) {
    contents.withLock { $0.cores[core.identity.id] = core }
  }

  /// Returns the reference that kept the core alive, for the caller to drop when it is done.
  func remove(_ core: PagePoolCore) -> PagePoolCore? {
    contents.withLock { $0.cores.removeValue(forKey: core.identity.id) }
  }
}
