// SPDX-License-Identifier: Apache-2.0
//
// No pool at all: what the harness's own hand-over of objects from thread to thread costs. It is
// part of every side's time, so no pool can be below it.
//
// Compiled with -DLOOKS, the objects are records of 32 bytes that nobody writes, and the thread
// that takes them does the least that a return needs: it reads the reference count and whose the
// object is, and notes it in an array of its own. What was noted never goes back.
#include <stdlib.h>

#include "CPeerBench.h"

#ifdef LOOKS
enum { record_count = 1024, noted_count = 64 };
static struct record {
  uint64_t words[2];
  uint32_t reference_count, index;
  void *owner;
} records[record_count];
static struct record *noted[noted_count];

static uintptr_t object_at(uint64_t i) { return (uintptr_t)&records[i % record_count]; }

static unsigned note(uintptr_t object, unsigned used) {
  struct record *record = (struct record *)object;
  if (__atomic_load_n(&record->reference_count, __ATOMIC_ACQUIRE) != 1) abort();
  if (record->owner != records) abort();
  noted[used] = record;
  __asm__ volatile("" : : : "memory");
  return used + 1 == noted_count ? 0 : used + 1;
}
#else
static uintptr_t object_at(uint64_t i) { return i; }

static unsigned note(uintptr_t object, unsigned used) {
  peer_escape((const void *)object);
  return used;
}
#endif

struct crossing {
  struct peer_ring *ring;
  uintptr_t *slots;
  uint64_t count;
};

static void produce_single(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i++) {
    crossing->slots[peer_ring_claim(crossing->ring)] = object_at(i);
    peer_ring_publish(crossing->ring);
  }
}

static void consume_single(void *context) {
  struct crossing *crossing = context;
  unsigned used = 0;
  for (uint64_t i = 0; i < crossing->count; i++) {
    uintptr_t object = crossing->slots[peer_ring_await(crossing->ring)];
    peer_ring_release(crossing->ring);
    used = note(object, used);
  }
}

static void produce_burst(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i += peer_burst) {
    uintptr_t *slot = crossing->slots + peer_ring_claim(crossing->ring) * peer_burst;
    for (unsigned object = 0; object < peer_burst; object++) slot[object] = object_at(i + object);
    peer_ring_publish(crossing->ring);
  }
}

static void consume_burst(void *context) {
  struct crossing *crossing = context;
  unsigned used = 0;
  for (uint64_t i = 0; i < crossing->count; i += peer_burst) {
    uintptr_t *slot = crossing->slots + peer_ring_await(crossing->ring) * peer_burst;
    for (unsigned object = 0; object < peer_burst; object++) used = note(slot[object], used);
    peer_ring_release(crossing->ring);
  }
}

static uint64_t cross(uint64_t *count, uint64_t slots, uint64_t burst, void (*produce)(void *),
                      void (*consume)(void *)) {
  *count = (*count + burst - 1) / burst * burst;
  struct crossing crossing = {
    peer_ring_make(slots), calloc(slots * burst, sizeof(uintptr_t)), *count};
  if (crossing.slots == NULL) abort();
  uint64_t spent = peer_time_pair(produce, consume, NULL, NULL, &crossing);
  free(crossing.slots);
  peer_ring_free(crossing.ring);
  return spent;
}

static uint64_t single(uint64_t *count) {
  return cross(count, peer_single_slots, 1, produce_single, consume_single);
}

static uint64_t burst(uint64_t *count) {
  return cross(count, peer_burst_slots, peer_burst, produce_burst, consume_burst);
}

int main(int argc, char **argv) {
#ifdef LOOKS
  for (unsigned i = 0; i < record_count; i++) {
    records[i].reference_count = 1;
    records[i].owner = records;
  }
#endif
  static const struct peer_case cases[] = {
      {"cross_thread_single", single}, {"cross_thread_burst32", burst}, {NULL, NULL}};
  peer_pin(peer_first_cpu());
  return peer_serve(argc, argv, cases);
}
