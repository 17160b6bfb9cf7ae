// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool
internal import DevmemSystem

extension PagePool {
  /// Gives the pool up when the calling thread ends, so that another thread can `PagePool.claim()`
  /// it, or anybody close it. Without this, a pool whose owner thread has ended belongs to nobody who
  /// could say so.
  ///
  /// Nothing happens at the end if the pool has been relinquished or closed by then, or is gone. The
  /// main thread's end is the process's: nothing happens then either.
  /// - Precondition: the calling thread owns the pool.
  public func relinquishAtThreadExit() {
    precondition(isOwnedByCurrentThread, "only the owner thread can give a PagePool up at its end")
    ThreadExit.perform { [weak self] in
      guard let self, self.isOwnedByCurrentThread else { return }
      self.relinquish()
    }
  }
}
