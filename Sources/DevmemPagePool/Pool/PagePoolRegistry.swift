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
    var cores: [UInt64: PoolCore] = [:]
  }

  /// What keeps a pool's core alive, also when the user's reference to the pool is gone.
  private let contents = Mutex(Contents())

  /// Any thread.
  var cores: [PoolCore] { contents.withLock { Array($0.cores.values) } }

  /// All pools, oldest first. A pool is gone from here at once when it is closed and its last
  /// buffer is back.
  public var pools: [Entry] {
    return cores.sorted { $0.identity.id < $1.identity.id }.map { core in
      Entry(
        identity: core.identity, provider: core.provider.name, iovByteCount: core.iovByteCount,
        inFlight: core.inFlight, timeSinceClose: core.timeSinceClose, statistics: core.statistics)
    }
  }

  /// Who holds what: a line for each pool with buffers out, and below it, for pools with a ledger,
  /// one for each place in the source that some were taken at, the longest held first.
  public func report() -> String {
    return cores.sorted { $0.identity.id < $1.identity.id }
      .filter { $0.inFlight.held > 0 }.map(Self.report).joined(separator: "\n")
  }

  static func report(_ core: PoolCore) -> String {
    let inFlight = core.inFlight
    let held = inFlight.held
    var lines = ["\(core.identity): \(held) held, \(held * core.iovByteCount) bytes"]
    if inFlight.fenced > 0 {
      lines[0] += ", \(inFlight.fenced) handles wait for fences of devices"
    }
    if let age = core.timeSinceClose { lines[0] += ", closed for \(age)" }
    guard let ledger = core.ledger else {
      return lines[0] + " (set PagePool.isDebugging before it is made to see by whom)"
    }
    let bySite = Dictionary(grouping: ledger.holdings, by: \.site.description)
    let groups = bySite.map { (site: $0.key, oldest: $0.value[0].age, count: $0.value.count) }
    for group in groups.sorted(by: { $0.oldest > $1.oldest }) {
      lines.append("  \(group.count) from \(group.site), the oldest for \(group.oldest)")
    }
    return lines.joined(separator: "\n")
  }

  func nextIdentity(name: String) -> PagePool.Identity {
    contents.withLock { contents in
      contents.lastID += 1
      return PagePool.Identity(id: contents.lastID, name: name)
    }
  }

  func add(_ core: PoolCore) {
    contents.withLock { $0.cores[core.identity.id] = core }
  }

  /// Returns the reference that kept the core alive, for the caller to drop when it is done.
  func remove(_ core: PoolCore) -> PoolCore? {
    contents.withLock { $0.cores.removeValue(forKey: core.identity.id) }
  }
}
