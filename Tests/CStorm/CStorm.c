// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CStorm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t threads[64];
static int count;
static atomic_int running;
static atomic_long hits;
// Atomic: a thread that outlives one storm may still be stopped by the last signal of it.
static atomic_uint period, nap;
static pthread_t stopper;

static void sleep_for(unsigned microseconds) {
  struct timespec t = {0, (long)microseconds * 1000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0);
}

static void stop_here(int signal) {
  (void)signal;
  int saved = errno;
  atomic_fetch_add_explicit(&hits, 1, memory_order_relaxed);
  sleep_for(nap);
  errno = saved;
}

void cstorm_register(void) {
  // Threads of a dispatch pool, and those that they make, have every signal blocked.
  sigset_t mine;
  sigemptyset(&mine);
  sigaddset(&mine, SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &mine, 0);
  pthread_mutex_lock(&lock);
  if (count < 64) threads[count++] = pthread_self();
  pthread_mutex_unlock(&lock);
}

void cstorm_unregister(void) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < count; i++)
    if (pthread_equal(threads[i], pthread_self())) {
      threads[i] = threads[--count];
      break;
    }
  pthread_mutex_unlock(&lock);
}

static void *stop_others(void *unused) {
  unsigned seed = 1;
  while (atomic_load(&running)) {
    unsigned shortest = period;
    sleep_for(shortest + (unsigned)rand_r(&seed) % (shortest + 1));
    pthread_mutex_lock(&lock);
    if (count) pthread_kill(threads[rand_r(&seed) % count], SIGUSR2);
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

void cstorm_start(unsigned period_us, unsigned sleep_us) {
  period = period_us, nap = sleep_us;
  struct sigaction action = {.sa_handler = stop_here, .sa_flags = SA_RESTART};
  sigaction(SIGUSR2, &action, 0);
  atomic_store(&running, 1);
  if (pthread_create(&stopper, 0, stop_others, 0)) abort();
}

void cstorm_stop(void) {
  atomic_store(&running, 0);
  pthread_join(stopper, 0);
}

long cstorm_hits(void) { return atomic_load(&hits); }

int cstorm_in_child(int (*body)(void *), void *context) {
  pid_t child = fork();
  if (child < 0) return -errno;
  if (child == 0) _exit(body(context));
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void cstorm_give_up_after(unsigned seconds) {
  signal(SIGALRM, SIG_DFL);
  alarm(seconds);
}

// A sanitizer's own count: it keeps what was freed for a while, so the process says nothing.
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

long cstorm_used_bytes(void) {
  if (__sanitizer_get_current_allocated_bytes)
    return (long)__sanitizer_get_current_allocated_bytes();
  FILE *file = fopen("/proc/self/statm", "re");
  long pages = 0;
  if (file) {
    if (fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    fclose(file);
  }
  return pages * sysconf(_SC_PAGESIZE);
}

void cstorm_yield(void) { sched_yield(); }

// --- the end of a thread

struct last {
  void (*body)(void *);
  void *context;
};
static pthread_key_t last_key;
static pthread_once_t last_once = PTHREAD_ONCE_INIT;

static void run_last(void *value) {
  struct last *last = value;
  last->body(last->context);
  free(last);
}
static void make_last_key(void) {
  if (pthread_key_create(&last_key, run_last)) abort();
}

void cstorm_at_thread_end(void (*body)(void *), void *context) {
  pthread_once(&last_once, make_last_key);
  struct last *last = malloc(sizeof *last);
  if (!last) abort();
  *last = (struct last){body, context};
  if (pthread_setspecific(last_key, last)) abort();
}
