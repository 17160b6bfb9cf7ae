// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
// Shows ThreadSanitizer the half of Swift's Mutex that it does not see.
//
// Taking and leaving a Mutex is compiled into its user, where the sanitizer sees the atomic
// operations. But who finds it taken, and who leaves it to somebody that waits, goes on in the
// Synchronization library, which is not instrumented, and in the kernel: what the last holder did
// looks unordered then. So those functions are called by way of these, which say that the lock is
// acquired or released.
//
// Why C: the calling convention, and symbols of another library's.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// _MutexHandle, swift/stdlib/public/Synchronization/Mutex/LinuxImpl.swift
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex

typedef SWIFT void lock_slow(uint32_t thread, SELF);
typedef SWIFT bool try_lock_slow(SELF);
typedef SWIFT void unlock_slow(SELF);

void __tsan_acquire(void *);
void __tsan_release(void *);

lock_slow devmem_lock_slow __asm__(LOCK);
try_lock_slow devmem_try_lock_slow __asm__(TRY_LOCK);
unlock_slow devmem_unlock_slow __asm__(UNLOCK);

static void *original(void **kept, const char *name) {
  void *function = __atomic_load_n(kept, __ATOMIC_RELAXED);
  if (function) return function;
  function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  __atomic_store_n(kept, function, __ATOMIC_RELAXED);
  return function;
}

SWIFT void devmem_lock_slow(uint32_t thread, SELF) {
  static void *kept;
  ((lock_slow *)original(&kept, LOCK))(thread, mutex);
  __tsan_acquire(mutex);
}

SWIFT bool devmem_try_lock_slow(SELF) {
  static void *kept;
  bool taken = ((try_lock_slow *)original(&kept, TRY_LOCK))(mutex);
  if (taken) __tsan_acquire(mutex);
  return taken;
}

SWIFT void devmem_unlock_slow(SELF) {
  static void *kept;
  __tsan_release(mutex);
  ((unlock_slow *)original(&kept, UNLOCK))(mutex);
}
#endif
#endif
