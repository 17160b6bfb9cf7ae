// SPDX-License-Identifier: Apache-2.0
//
// DPDK's object pool (rte_mempool: no reference counts, a cache for each lcore) and its packet
// buffers on top of it (pktmbuf: with reference counts, which is the fair counterpart of a Netmem),
// both with 4 KiB objects and the default cache and ring. Neither huge pages, devices nor root are
// needed.
//
//   PROGRAM mempool|pktmbuf [CASE COUNT]
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CPeerBench.h"

enum { object_bytes = 4096, object_count = 8191, cache_count = 256, window_count = 64 };

static struct rte_mempool *pool;

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "error: %s failed: %s\n", what, rte_strerror(rte_errno));
  exit(1);
}

static inline void *object_take(void) {
  void *object = NULL;
  // Empty for a moment when the other thread lags behind.
  while (rte_mempool_get(pool, &object) != 0) sched_yield();
  peer_escape(object);
  return object;
}

static inline void object_put(void *object) { rte_mempool_put(pool, object); }

static inline void objects_take(void **objects, unsigned count) {
  while (rte_mempool_get_bulk(pool, objects, count) != 0) sched_yield();
  peer_escape(objects);
}

static inline void objects_put(void **objects, unsigned count) {
  rte_mempool_put_bulk(pool, objects, count);
}

static inline void *mbuf_take(void) {
  struct rte_mbuf *mbuf;
  while ((mbuf = rte_pktmbuf_alloc(pool)) == NULL) sched_yield();
  peer_escape(mbuf);
  return mbuf;
}

static inline void mbuf_put(void *mbuf) { rte_pktmbuf_free(mbuf); }

static inline void mbufs_take(void **mbufs, unsigned count) {
  while (rte_pktmbuf_alloc_bulk(pool, (struct rte_mbuf **)mbufs, count) != 0) sched_yield();
  peer_escape(mbufs);
}

static inline void mbufs_put(void **mbufs, unsigned count) {
  rte_pktmbuf_free_bulk((struct rte_mbuf **)mbufs, count);
}

struct crossing {
  struct peer_ring *ring;
  void **slots;
  uint64_t count;
};

// A thread that DPDK does not know has no cache in the pool.
static void enter_thread(void) { must(rte_thread_register() == 0, "rte_thread_register"); }
static void leave_thread(void) { rte_thread_unregister(); }

static uint64_t cross(uint64_t *count, uint64_t slots, uint64_t burst, void (*produce)(void *),
                      void (*consume)(void *)) {
  *count = (*count + burst - 1) / burst * burst;
  struct crossing crossing = {peer_ring_make(slots), calloc(slots * burst, sizeof(void *)), *count};
  must(crossing.slots != NULL, "calloc");
  uint64_t spent = peer_time_pair(produce, consume, enter_thread, leave_thread, &crossing);
  free(crossing.slots);
  peer_ring_free(crossing.ring);
  return spent;
}

// The same loops over objects and over packet buffers, each with its calls inlined.
#define CASES(kind, take, put, take_bulk, put_bulk)                                               \
  static uint64_t kind##_fast_path(uint64_t *count) {                                             \
    uint64_t begin = peer_now();                                                                  \
    for (uint64_t turn = 0; turn < *count; turn++) put(take());                                   \
    return peer_now() - begin;                                                                    \
  }                                                                                               \
  static uint64_t kind##_window_64(uint64_t *count) {                                             \
    void *objects[window_count];                                                                  \
    uint64_t done = 0, begin = peer_now();                                                        \
    for (; done < *count; done += window_count) {                                                 \
      for (int i = 0; i < window_count; i++) objects[i] = take();                                 \
      for (int i = 0; i < window_count; i++) put(objects[i]);                                     \
    }                                                                                             \
    uint64_t spent = peer_now() - begin;                                                          \
    *count = done;                                                                                \
    return spent;                                                                                 \
  }                                                                                               \
  static inline __attribute__((always_inline)) uint64_t kind##_bulk(uint64_t *count,              \
                                                                    unsigned size) {              \
    void *objects[window_count];                                                                  \
    uint64_t done = 0, begin = peer_now();                                                        \
    for (; done < *count; done += size) {                                                         \
      take_bulk(objects, size);                                                                   \
      put_bulk(objects, size);                                                                    \
    }                                                                                             \
    uint64_t spent = peer_now() - begin;                                                          \
    *count = done;                                                                                \
    return spent;                                                                                 \
  }                                                                                               \
  static uint64_t kind##_bulk_32(uint64_t *count) { return kind##_bulk(count, peer_hide(32)); }   \
  static uint64_t kind##_bulk_64(uint64_t *count) { return kind##_bulk(count, peer_hide(64)); }   \
  static uint64_t kind##_bulk_64_constant(uint64_t *count) { return kind##_bulk(count, 64); }     \
  static void kind##_produce_single(void *context) {                                              \
    struct crossing *crossing = context;                                                          \
    for (uint64_t i = 0; i < crossing->count; i++) {                                              \
      void *object = take();                                                                      \
      crossing->slots[peer_ring_claim(crossing->ring)] = object;                                  \
      peer_ring_publish(crossing->ring);                                                          \
    }                                                                                             \
  }                                                                                               \
  static void kind##_consume_single(void *context) {                                              \
    struct crossing *crossing = context;                                                          \
    for (uint64_t i = 0; i < crossing->count; i++) {                                              \
      void *object = crossing->slots[peer_ring_await(crossing->ring)];                            \
      peer_ring_release(crossing->ring);                                                          \
      put(object);                                                                                \
    }                                                                                             \
  }                                                                                               \
  /* A burst is taken straight into its slot of the ring and put back from there: no copy. */     \
  static void kind##_produce_burst(void *context) {                                               \
    struct crossing *crossing = context;                                                          \
    for (uint64_t i = 0; i < crossing->count; i += peer_burst) {                                  \
      take_bulk(crossing->slots + peer_ring_claim(crossing->ring) * peer_burst, peer_burst);      \
      peer_ring_publish(crossing->ring);                                                          \
    }                                                                                             \
  }                                                                                               \
  static void kind##_consume_burst(void *context) {                                               \
    struct crossing *crossing = context;                                                          \
    for (uint64_t i = 0; i < crossing->count; i += peer_burst) {                                  \
      put_bulk(crossing->slots + peer_ring_await(crossing->ring) * peer_burst, peer_burst);       \
      peer_ring_release(crossing->ring);                                                          \
    }                                                                                             \
  }                                                                                               \
  static uint64_t kind##_cross_single(uint64_t *count) {                                          \
    return cross(count, peer_single_slots, 1, kind##_produce_single, kind##_consume_single);      \
  }                                                                                               \
  static uint64_t kind##_cross_burst(uint64_t *count) {                                           \
    return cross(count, peer_burst_slots, peer_burst, kind##_produce_burst,                       \
                 kind##_consume_burst);                                                           \
  }

CASES(mempool, object_take, object_put, objects_take, objects_put)
CASES(pktmbuf, mbuf_take, mbuf_put, mbufs_take, mbufs_put)

static uint64_t pktmbuf_share(uint64_t *count) {
  uint64_t begin = peer_now();
  for (uint64_t turn = 0; turn < *count; turn++) {
    struct rte_mbuf *mbuf = mbuf_take();
    rte_mbuf_refcnt_update(mbuf, 1);
    peer_escape(mbuf);
    rte_pktmbuf_free(mbuf);
    rte_pktmbuf_free(mbuf);
  }
  return peer_now() - begin;
}

static const struct peer_case mempool_cases[] = {
    {"fast_path", mempool_fast_path},
    {"fast_path_window_64", mempool_window_64},
    {"bulk_32", mempool_bulk_32},
    {"bulk_64", mempool_bulk_64},
    {"bulk_64_constant", mempool_bulk_64_constant},
    {"cross_thread_single", mempool_cross_single},
    {"cross_thread_burst32", mempool_cross_burst},
    {NULL, NULL},
};

static const struct peer_case pktmbuf_cases[] = {
    {"fast_path", pktmbuf_fast_path},
    {"fast_path_window_64", pktmbuf_window_64},
    {"bulk_32", pktmbuf_bulk_32},
    {"bulk_64", pktmbuf_bulk_64},
    {"bulk_64_constant", pktmbuf_bulk_64_constant},
    {"cross_thread_single", pktmbuf_cross_single},
    {"cross_thread_burst32", pktmbuf_cross_burst},
    {"share_and_two_returns", pktmbuf_share},
    {NULL, NULL},
};

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--which") == 0) return puts(rte_version()) < 0;
  if (argc < 2) {
    fprintf(stderr, "usage: %s mempool|pktmbuf [CASE COUNT]\n", argv[0]);
    return 2;
  }
  char lcores[32];
  snprintf(lcores, sizeof lcores, "--lcores=0@%d", peer_first_cpu());
  char *options[] = {argv[0],       lcores,          "--no-huge",        "-m",
                     "128",         "--no-shconf",   "--no-pci",         "--no-telemetry",
                     "--iova-mode=va", "--log-level=error"};
  must(rte_eal_init(sizeof options / sizeof *options, options) >= 0, "rte_eal_init");
  bool is_pktmbuf = strcmp(argv[1], "pktmbuf") == 0;
  if (is_pktmbuf) {
    pool = rte_pktmbuf_pool_create("peers", object_count, cache_count, 0,
                                   RTE_PKTMBUF_HEADROOM + object_bytes, SOCKET_ID_ANY);
  } else {
    pool = rte_mempool_create("peers", object_count, object_bytes, cache_count, 0, NULL, NULL, NULL,
                              NULL, SOCKET_ID_ANY, 0);
  }
  must(pool != NULL, "creating the pool");
  return peer_serve(argc - 1, argv + 1, is_pktmbuf ? pktmbuf_cases : mempool_cases);
}
