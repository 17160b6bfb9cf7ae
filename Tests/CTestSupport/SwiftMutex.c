// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
// Shows ThreadSanitizer the one half of Swift's Mutex that it does not see.
//
// Taking and leaving a Mutex is compiled into its user, where the sanitizer sees the atomic operations. But who
// finds it taken goes on in the Synchronization library, which is not instrumented: what the last holder did
// looks unordered then. So that function is called by way of this one, which says that the lock was acquired.
//
// Why C: the calling convention, and a symbol of another library's.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// _MutexHandle._lockSlow(_: UInt32), swift/stdlib/public/Synchronization/Mutex/LinuxImpl.swift
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"

typedef __attribute__((swiftcall)) void lock_slow(uint32_t thread,
                                                  __attribute__((swift_context)) void *mutex);

void __tsan_acquire(void *);

lock_slow devmem_lock_slow __asm__(LOCK_SLOW);

__attribute__((swiftcall)) void devmem_lock_slow(uint32_t thread,
                                                 __attribute__((swift_context)) void *mutex) {
  static lock_slow *original;
  lock_slow *next = __atomic_load_n(&original, __ATOMIC_RELAXED);
  if (!next) {
    next = (lock_slow *)dlsym(RTLD_NEXT, LOCK_SLOW);
    if (!next) abort();
    __atomic_store_n(&original, next, __ATOMIC_RELAXED);
  }
  next(thread, mutex);
  __tsan_acquire(mutex);
}
#endif
#endif
