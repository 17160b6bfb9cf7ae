// SPDX-License-Identifier: Apache-2.0
//
// What every side of the comparison shares: the clock, two threads that run against each other, and
// the ring of slots that objects change threads through. The code is the same for all of them, so
// that a difference between two sides is the pool's and not the harness's.
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

// 128: processors fetch cache lines in pairs.
#define PEER_LINE_WORDS 16

// Slots of the ring for single objects, and for bursts.
enum { peer_single_slots = 512, peer_burst_slots = 16, peer_burst = 32 };

// Counts of a ring with one producer and one consumer. The slots are the caller's: `claim` and
// `await` say which one is theirs to fill or to empty.
struct peer_ring {
  uint64_t pad0[PEER_LINE_WORDS];
  // The producer's line.
  uint64_t filled;
  uint64_t seen_emptied;
  uint64_t pad1[PEER_LINE_WORDS - 2];
  // The consumer's line.
  uint64_t emptied;
  uint64_t seen_filled;
  uint64_t pad2[PEER_LINE_WORDS - 2];
  uint64_t slot_count;  // a power of two
};

static inline void peer_pause(uint64_t *turns) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
  // Two threads on one processor would otherwise wait for each other's time slice.
  if ((++*turns & 1023) == 0) sched_yield();
}

// The slot to fill next; waits until there is one.
static inline uint64_t peer_ring_claim(struct peer_ring *ring) {
  uint64_t turns = 0;
  while (ring->filled - ring->seen_emptied == ring->slot_count) {
    ring->seen_emptied = __atomic_load_n(&ring->emptied, __ATOMIC_ACQUIRE);
    if (ring->filled - ring->seen_emptied == ring->slot_count) peer_pause(&turns);
  }
  return ring->filled & (ring->slot_count - 1);
}

static inline void peer_ring_publish(struct peer_ring *ring) {
  __atomic_store_n(&ring->filled, ring->filled + 1, __ATOMIC_RELEASE);
}

// The slot to empty next; waits until there is one.
static inline uint64_t peer_ring_await(struct peer_ring *ring) {
  uint64_t turns = 0;
  while (ring->emptied == ring->seen_filled) {
    ring->seen_filled = __atomic_load_n(&ring->filled, __ATOMIC_ACQUIRE);
    if (ring->emptied == ring->seen_filled) peer_pause(&turns);
  }
  return ring->emptied & (ring->slot_count - 1);
}

static inline void peer_ring_release(struct peer_ring *ring) {
  __atomic_store_n(&ring->emptied, ring->emptied + 1, __ATOMIC_RELEASE);
}

// Keeps the compiler from seeing that a value is not used.
static inline void peer_escape(const void *value) {
  __asm__ volatile("" : : "r"(value) : "memory");
}

// The same number, of which the compiler knows nothing any more.
static inline uint32_t peer_hide(uint32_t value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

struct peer_ring *peer_ring_make(uint64_t slot_count);
void peer_ring_free(struct peer_ring *ring);

// Nanoseconds that the calling thread has run: what else runs on the machine is not in it.
uint64_t peer_now(void);

// The processors this process may use: the first for the thread that allocates, the last for the
// thread that frees.
int peer_first_cpu(void);
int peer_last_cpu(void);
// Binds the calling thread; false where that is refused.
bool peer_pin(int cpu);

// Runs `produce(context)` here and `consume(context)` on another thread bound to the last
// processor. `enter` and `leave` (may be null) run on that thread before and after.
// Returns the nanoseconds of real time from the start of both to the end of the later one.
uint64_t peer_time_pair(void (*produce)(void *), void (*consume)(void *), void (*enter)(void),
                        void (*leave)(void), void *context);

// Two threads that take turns, asleep while it is the other's: `pass` gives the turn to a side (0
// or 1), `wait` waits for one's own.
struct peer_turns {
  void *semaphores;
};
struct peer_turns *peer_turns_make(void);
void peer_turns_free(struct peer_turns *turns);
void peer_turns_pass(struct peer_turns *turns, int side);
void peer_turns_wait(struct peer_turns *turns, int side);

// Writes out what was printed.
void peer_flush(void);

// A case: handles at least `count` objects and returns the nanoseconds that took.
// `*count` is changed to how many there really were.
struct peer_case {
  const char *name;
  uint64_t (*run)(uint64_t *count);
};

// `PROGRAM CASE COUNT` runs one case once. Without arguments: for each line "CASE COUNT" on
// standard input, prints nanoseconds per object. `cases` ends with a null name.
int peer_serve(int argc, char **argv, const struct peer_case *cases);
