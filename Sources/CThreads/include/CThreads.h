// SPDX-License-Identifier: Apache-2.0
//
// What a pool has to know of threads: which one runs, whether one has ended, a barrier that another
// thread pays for, and whether the process was forked.
//
// Why C: thread-local variables, pthread_atfork and membarrier(2) have no Swift spelling. Nothing
// here fails for want of a device or a privilege, and nothing keeps a descriptor.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Thread-local words at a fixed distance from the thread pointer: one instruction to reach.
#define CTHREADS_LOCAL __thread __attribute__((tls_model("initial-exec"), visibility("default")))

extern CTHREADS_LOCAL uint64_t cthreads_number;
extern uint64_t cthreads_forks;

/// The number of the calling thread, unique in the process for ever; 0 for a thread that has never
/// asked for one (`cthreads_enter`), `CTHREADS_ENDING` for one that runs its last destructors.
static inline uint64_t cthreads_self(void) { return cthreads_number; }

#define CTHREADS_ENDING UINT64_MAX

/// The number of the calling thread, which gets one if it has none. Numbers begin at 16 (below are
/// words with a meaning of their own) and are never used again, not even by a forked child.
uint64_t cthreads_enter(void);

/// What a thread has of its own in things that several share: a value for a key. Keys are multiples
/// of 16, never 0 and never used for a second thing. Where two share a place, the later one has it,
/// and who asks for the other has to look elsewhere.
enum { CTHREADS_PLACES = 16, CTHREADS_KEY_SHIFT = 4 };
struct cthreads_place {
  uint64_t key;
  void *value;
};
extern CTHREADS_LOCAL struct cthreads_place cthreads_places[CTHREADS_PLACES];

static inline struct cthreads_place *cthreads_place_of(uint64_t key) {
  return (struct cthreads_place *)((char *)cthreads_places +
                                   (key & ((CTHREADS_PLACES - 1) << CTHREADS_KEY_SHIFT)));
}
/// Whether the calling thread has a value for the key at hand.
static inline bool cthreads_has(uint64_t key) { return cthreads_place_of(key)->key == key; }
/// The value, where there is one.
static inline void *cthreads_value(uint64_t key) { return cthreads_place_of(key)->value; }
/// Keeps a value at hand for the calling thread, which has a number.
void cthreads_keep(uint64_t key, void *value);
/// What is called at the end of every thread that ever kept a value, on that thread, with its
/// number. Set once.
void cthreads_at_end(void (*action)(uint64_t number));

/// Whether the thread with that number still runs.
bool cthreads_is_running(uint64_t number);

/// Keeps the compiler from moving memory accesses across; no instruction.
static inline void cthreads_compiler_fence(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

/// Makes every running thread of the process pass a full memory barrier before this returns
/// (membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14; where that is refused, a page
/// whose protection is taken away, which interrupts the same processors).
///
/// It makes a plain store followed by a plain load on one thread into Dekker's half of a handshake:
/// see docs/life-cycle.md.
void cthreads_barrier(void);

/// How often this process is a fork of the one in which counting began: 0 where the library was
/// loaded.
static inline uint64_t cthreads_fork_count(void) {
  return __atomic_load_n(&cthreads_forks, __ATOMIC_RELAXED);
}

/// A word that is set to 0 in every forked child: who has to look at it anyway need not ask for
/// forks.
struct cthreads_forked_word {
  uint64_t *word;
  struct cthreads_forked_word *next, **link;
};
/// Begins that; the entry and the word stay where they are until `cthreads_forget`.
void cthreads_clear_when_forked(struct cthreads_forked_word *entry, uint64_t *word);
void cthreads_forget(struct cthreads_forked_word *entry);

/// Asks for the cache line at an address, which another processor wrote, to read it soon. No
/// access.
static inline void cthreads_expect(const void *address) { __builtin_prefetch(address); }

/// The same, to write it. No access.
static inline void cthreads_expect_to_write(void *address) {
#if defined(__x86_64__)
  // Every x86-64 knows the instruction; those that have no use for it do nothing.
  __asm__ volatile("prefetchw %0" : : "m"(*(char *)address));
#else
  __builtin_prefetch(address, 1);
#endif
}

/// Gives the processor to somebody else for a moment.
void cthreads_yield(void);

#ifdef __cplusplus
}
#endif
