// SPDX-License-Identifier: Apache-2.0
//
// The general-purpose allocators: one program, linked once with each of them in glibc's place.
// `--which` prints the library that malloc really comes from.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CPeerBench.h"

enum { object_bytes = 4096, window_count = 64 };

static inline void *take(void) {
  void *object = malloc(object_bytes);
  if (!object) abort();
  peer_escape(object);
  return object;
}

static uint64_t fast_path(uint64_t *count) {
  uint64_t begin = peer_now();
  for (uint64_t turn = 0; turn < *count; turn++) free(take());
  return peer_now() - begin;
}

static uint64_t window(uint64_t *count, uint64_t size) {
  void *objects[window_count];
  uint64_t done = 0, begin = peer_now();
  for (; done < *count; done += size) {
    for (uint64_t i = 0; i < size; i++) objects[i] = take();
    for (uint64_t i = 0; i < size; i++) free(objects[i]);
  }
  uint64_t spent = peer_now() - begin;
  *count = done;
  return spent;
}

// An allocator without bulk calls does a bulk one by one.
static uint64_t of_32(uint64_t *count) { return window(count, 32); }
static uint64_t of_64(uint64_t *count) { return window(count, 64); }

struct crossing {
  struct peer_ring *ring;
  void **slots;
  uint64_t count;
};

static void produce_single(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i++) {
    void *object = take();
    crossing->slots[peer_ring_claim(crossing->ring)] = object;
    peer_ring_publish(crossing->ring);
  }
}

static void consume_single(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i++) {
    void *object = crossing->slots[peer_ring_await(crossing->ring)];
    peer_ring_release(crossing->ring);
    free(object);
  }
}

static void produce_burst(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i += peer_burst) {
    void **slot = crossing->slots + peer_ring_claim(crossing->ring) * peer_burst;
    for (int object = 0; object < peer_burst; object++) slot[object] = take();
    peer_ring_publish(crossing->ring);
  }
}

static void consume_burst(void *context) {
  struct crossing *crossing = context;
  for (uint64_t i = 0; i < crossing->count; i += peer_burst) {
    void **slot = crossing->slots + peer_ring_await(crossing->ring) * peer_burst;
    for (int object = 0; object < peer_burst; object++) free(slot[object]);
    peer_ring_release(crossing->ring);
  }
}

static uint64_t cross(uint64_t *count, uint64_t slots, uint64_t burst, void (*produce)(void *),
                      void (*consume)(void *)) {
  *count = (*count + burst - 1) / burst * burst;
  struct crossing crossing = {peer_ring_make(slots), calloc(slots * burst, sizeof(void *)), *count};
  if (!crossing.slots) abort();
  uint64_t spent = peer_time_pair(produce, consume, NULL, NULL, &crossing);
  free(crossing.slots);
  peer_ring_free(crossing.ring);
  return spent;
}

static uint64_t cross_single(uint64_t *count) {
  return cross(count, peer_single_slots, 1, produce_single, consume_single);
}

static uint64_t cross_burst(uint64_t *count) {
  return cross(count, peer_burst_slots, peer_burst, produce_burst, consume_burst);
}

int main(int argc, char **argv) {
  static const struct peer_case cases[] = {
      {"fast_path", fast_path},
      {"fast_path_window_64", of_64},
      {"bulk_32", of_32},
      {"bulk_64", of_64},
      {"bulk_64_constant", of_64},
      {"cross_thread_single", cross_single},
      {"cross_thread_burst32", cross_burst},
      {NULL, NULL},
  };
  if (argc == 2 && strcmp(argv[1], "--which") == 0) {
    Dl_info info;
    if (!dladdr((void *)malloc, &info)) return 1;
    puts(info.dli_fname);
    return 0;
  }
  peer_pin(peer_first_cpu());
  return peer_serve(argc, argv, cases);
}
