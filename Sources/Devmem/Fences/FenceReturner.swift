// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool
internal import DevmemSystem
internal import Synchronization

/// Puts buffers into their pools once a device is done with them: what is given to it is held until
/// the fence has signalled, and in the pools' statistics counted as fenced.
///
/// One for each fence, for as many buffers as there are, of whatever pools: they cost the fence's
/// one descriptor. A returner whose last reference goes before the fence signals goes on by itself.
/// Closing a pool waits for what is here; a limit on that says how much it is. An error of the
/// device counts, and the buffers are put all the same: it uses them no more.
///
/// A buffer that is put here while somebody else holds a handle to it is in its pool after both.
/// All members may be called from any thread.
package final class FenceReturner: Sendable {
  /// What the buffers wait for; nil if that was over from the start.
  package let fence: Fence?

  private struct Waiting: ~Copyable {
    var batch: NetmemBatch?
    var owners: [any AnyObject & Sendable] = []
    /// Whether the fence ended with an error; nil while it is pending.
    var hasFailed: Bool?
  }
  private let waiting = Mutex(Waiting())

  /// Waits for a fence.
  ///
  /// - Parameters:
  ///   - fence: of the device's last job that uses the buffers; nil where the device's interface
  ///     says that it has ended, without a fence: what is put then ends, and counts, at once.
  ///   - watch: who looks at the fence.
  /// - Throws: ``FenceError/Code/descriptorLimit``. From here on nothing fails.
  package init(after fence: Fence?, on watch: FenceWatch) throws(FenceError) {
    self.fence = fence
    guard let fence else {
      waiting.withLock { $0.hasFailed = false }
      return
    }
    _ = try watch.add(fence.file.descriptor.rawValue, of: fence, .readable) { [self] in end() }
  }

  /// Handles that wait here.
  package var count: Int {
    waiting.withLock { waiting in
      switch waiting.batch {
      case .none: 0
      case .some(let batch): batch.count
      }
    }
  }

  /// Ends a handle after the fence; now, if that has signalled.
  package func put(_ netmem: consuming Netmem) {
    var batch = NetmemBatch(capacity: 1)
    batch.append(netmem)
    put(batch)
  }

  /// Ends a fragment's handle after the fence; now, if that has signalled.
  package func put(_ fragment: consuming NetmemFragment) {
    put(fragment.takeNetmem())
  }

  /// Ends the handles of a batch after the fence; now, if that has signalled.
  package func put(_ batch: consuming NetmemBatch) {
    batch.beginFence()
    var given: NetmemBatch? = consume batch
    let hasFailed = waiting.withLock { waiting -> Bool? in
      guard waiting.hasFailed == nil, let batch = given.take() else { return waiting.hasFailed }
      switch waiting.batch.take() {
      case .none: waiting.batch = consume batch
      case .some(var all):
        all.append(contentsOf: batch)
        waiting.batch = consume all
      }
      return nil
    }
    if let hasFailed { Self.end(given.take(), hasFailed) }
  }

  /// Keeps something until the fence has signalled: what holds memory that is of no pool.
  package func keep(_ owner: any AnyObject & Sendable) {
    waiting.withLock { if $0.hasFailed == nil { $0.owners.append(owner) } }
  }

  /// The fence has signalled. On the watch's thread.
  private func end() {
    // A fence that cannot be asked any more has not ended well.
    let hasFailed = (try? fence?.status) != .signalled
    var batch: NetmemBatch?
    let owners = waiting.withLock { waiting in
      waiting.hasFailed = hasFailed
      batch = waiting.batch.take()
      return exchange(&waiting.owners, with: [])
    }
    Self.end(batch.take(), hasFailed)
    withExtendedLifetime(owners) {}
  }

  private static func end(_ batch: consuming NetmemBatch?, _ hasFailed: Bool) {
    guard let batch else { return }
    batch.endFence(hasFailed: hasFailed)
  }
}
