// SPDX-License-Identifier: Apache-2.0
//
// What a pool has to know of threads: which one runs, whether one has ended, a barrier that another
// thread pays for, and whether the process was forked.
//
// Why C: thread-local variables, pthread_atfork and membarrier(2) have no Swift spelling. Nothing here
// fails for want of a device or a privilege, and nothing keeps a descriptor.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Thread-local words at a fixed distance from the thread pointer: one instruction to reach.
#define CTHREADS_LOCAL __thread __attribute__((tls_model("initial-exec"), visibility("default")))

extern CTHREADS_LOCAL uint64_t cthreads_number;
extern uint64_t cthreads_forks, cthreads_unattended_limit;

/// The number of the calling thread, unique in the process for ever; 0 for a thread that has never
/// asked for one (`cthreads_enter`), `CTHREADS_ENDING` for one that runs its last destructors.
static inline uint64_t cthreads_self(void) { return cthreads_number; }

#define CTHREADS_ENDING UINT64_MAX

/// The number of the calling thread, which gets one if it has none. Numbers begin at 16 (below are
/// words with a meaning of their own) and are never used again, not even by a forked child.
uint64_t cthreads_enter(void);

/// Whether the thread with that number still runs.
bool cthreads_is_running(uint64_t number);

/// Keeps the compiler from moving memory accesses across; no instruction.
static inline void cthreads_compiler_fence(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

/// Makes every running thread of the process pass a full memory barrier before this returns
/// (membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14; where that is refused, a page whose
/// protection is taken away, which interrupts the same processors).
///
/// It makes a plain store followed by a plain load on one thread into Dekker's half of a handshake: see
/// docs/life-cycle.md.
void cthreads_barrier(void);

/// How often this process is a fork of the one in which counting began: 0 where the library was loaded.
static inline uint64_t cthreads_fork_count(void) {
  return __atomic_load_n(&cthreads_forks, __ATOMIC_RELAXED);
}

/// A return queue takes what is below this without asking: all without a flag in bit 62 or above; in a forked
/// child nothing, so that every return there comes past whoever knows of forks.
static inline uint64_t cthreads_unattended(void) {
  return __atomic_load_n(&cthreads_unattended_limit, __ATOMIC_RELAXED);
}

/// Gives the processor to somebody else for a moment.
void cthreads_yield(void);

#ifdef __cplusplus
}
#endif
