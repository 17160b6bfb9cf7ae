// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "a pthread_t fits");

enum { byte_count = csystem_thread_word_count * sizeof(uint64_t) };

/// What a new thread is told.
struct start {
  void (*routine)(void *);
  void *context;
  char name[16];  // TASK_COMM_LEN, include/linux/sched.h
};

static void *run(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  // Of the calling thread it is prctl(PR_SET_NAME), which cannot fail; of another it would need
  // /proc.
  pthread_setname_np(pthread_self(), start.name);
  start.routine(start.context);
  return NULL;
}

int csystem_thread_start(
  const char *name, const uint64_t *processors, void (*routine)(void *), void *context,
  uint64_t *thread) {
  struct start *start = calloc(1, sizeof(*start));
  if (start == NULL) {
    return -ENOMEM;
  }
  start->routine = routine;
  start->context = context;
  strncpy(start->name, name, sizeof(start->name) - 1);

  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) {
    free(start);
    return -error;
  }
  pthread_t made;
  error = pthread_attr_setaffinity_np(&attributes, byte_count, (const cpu_set_t *)processors);
  if (error == 0) {
    error = pthread_create(&made, &attributes, run, start);
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    free(start);
    return -error;
  }
  *thread = (uint64_t)made;
  return 0;
}

int csystem_thread_release(uint64_t thread) {
  pthread_t given = (pthread_t)thread;
  return pthread_equal(given, pthread_self()) ? -pthread_detach(given) : -pthread_join(given, NULL);
}

int csystem_thread_is_current(uint64_t thread) {
  return pthread_equal((pthread_t)thread, pthread_self()) != 0;
}

int csystem_thread_process_processors(uint64_t *processors) {
  cpu_set_t *set = (cpu_set_t *)processors;
  memset(set, 0, byte_count);
  // The process's number is that of its first thread.
  return sched_getaffinity(getpid(), byte_count, set) < 0 ? -errno : CPU_COUNT_S(byte_count, set);
}
