// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A lock, and a place to wait for something that it guards (`pthread_mutex_t`, `pthread_cond_t`).
///
/// Not `Synchronization.Mutex`, which nothing can wait on, and which ThreadSanitizer does not see.
@safe package struct ThreadGate: ~Copyable, Sendable {
  // SAFETY: made in init, freed in deinit, and in between touched by the C library alone.
  private nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private nonisolated(unsafe) let condition: UnsafeMutablePointer<pthread_cond_t>

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Makes a gate that nobody has locked or waits at.
  package init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    // Neither can fail without attributes (nptl/pthread_mutex_init.c, pthread_cond_init.c).
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
  }

  /// Waits until no other thread has the lock, and takes it.
  package func lock() { unsafe pthread_mutex_lock(mutex) }

  /// Gives the lock back. The calling thread has it.
  package func unlock() { unsafe pthread_mutex_unlock(mutex) }

  /// Gives the lock back, sleeps until ``signal()`` or for no reason at all, and takes it again.
  package func wait() { unsafe pthread_cond_wait(condition, mutex) }

  /// Wakes one thread that waits, if one does.
  package func signal() { unsafe pthread_cond_signal(condition) }
}
