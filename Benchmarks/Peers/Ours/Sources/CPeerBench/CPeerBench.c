// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CPeerBench.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void must(bool ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "error: %s failed\n", what);
    exit(1);
  }
}

struct peer_ring *peer_ring_make(uint64_t slot_count) {
  struct peer_ring *ring = aligned_alloc(128, (sizeof(struct peer_ring) + 127) / 128 * 128);
  must(ring != NULL, "aligned_alloc");
  memset(ring, 0, sizeof *ring);
  ring->slot_count = slot_count;
  return ring;
}

void peer_ring_free(struct peer_ring *ring) { free(ring); }

static uint64_t read_clock(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t peer_now(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

// Read once, before anything is pinned.
static int first_cpu = -1, last_cpu = -1;

__attribute__((constructor)) static void read_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    if (first_cpu < 0) first_cpu = cpu;
    last_cpu = cpu;
  }
}

int peer_first_cpu(void) { return first_cpu; }
int peer_last_cpu(void) { return last_cpu; }

bool peer_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

struct pair {
  void (*consume)(void *);
  void (*enter)(void);
  void (*leave)(void);
  void *context;
  sem_t ready;
  uint64_t end;
};

static void *other_side(void *argument) {
  struct pair *pair = argument;
  peer_pin(last_cpu);
  if (pair->enter) pair->enter();
  must(sem_post(&pair->ready) == 0, "sem_post");
  pair->consume(pair->context);
  pair->end = read_clock(CLOCK_MONOTONIC);
  if (pair->leave) pair->leave();
  return NULL;
}

uint64_t peer_time_pair(void (*produce)(void *), void (*consume)(void *), void (*enter)(void),
                        void (*leave)(void), void *context) {
  struct pair pair = {.consume = consume, .enter = enter, .leave = leave, .context = context};
  pthread_t thread;
  must(sem_init(&pair.ready, 0, 0) == 0, "sem_init");
  must(pthread_create(&thread, NULL, other_side, &pair) == 0, "pthread_create");
  while (sem_wait(&pair.ready) != 0) must(errno == EINTR, "sem_wait");
  uint64_t begin = read_clock(CLOCK_MONOTONIC);
  produce(context);
  uint64_t end = read_clock(CLOCK_MONOTONIC);
  must(pthread_join(thread, NULL) == 0, "pthread_join");
  sem_destroy(&pair.ready);
  return (pair.end > end ? pair.end : end) - begin;
}

struct peer_turns *peer_turns_make(void) {
  struct peer_turns *turns = malloc(sizeof *turns);
  sem_t *semaphores = calloc(2, sizeof *semaphores);
  must(turns && semaphores, "malloc");
  for (int side = 0; side < 2; side++) must(sem_init(&semaphores[side], 0, 0) == 0, "sem_init");
  turns->semaphores = semaphores;
  return turns;
}

void peer_turns_free(struct peer_turns *turns) {
  sem_t *semaphores = turns->semaphores;
  for (int side = 0; side < 2; side++) sem_destroy(&semaphores[side]);
  free(semaphores);
  free(turns);
}

void peer_turns_pass(struct peer_turns *turns, int side) {
  must(sem_post((sem_t *)turns->semaphores + side) == 0, "sem_post");
}

void peer_turns_wait(struct peer_turns *turns, int side) {
  while (sem_wait((sem_t *)turns->semaphores + side) != 0) must(errno == EINTR, "sem_wait");
}

void peer_flush(void) { fflush(stdout); }

static const struct peer_case *find(const struct peer_case *cases, const char *name) {
  for (; cases->name; cases++) {
    if (strcmp(cases->name, name) == 0) return cases;
  }
  fprintf(stderr, "error: no case %s\n", name);
  exit(2);
}

int peer_serve(int argc, char **argv, const struct peer_case *cases) {
  uint64_t count;
  if (argc == 3) {
    count = strtoull(argv[2], NULL, 10);
    find(cases, argv[1])->run(&count);
    return 0;
  }
  char name[64];
  while (scanf("%63s %lu", name, &count) == 2) {
    uint64_t spent = find(cases, name)->run(&count);
    printf("%.4f\n", (double)spent / (double)count);
    fflush(stdout);
  }
  return 0;
}
