// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CThreads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

CTHREADS_LOCAL uint64_t cthreads_number;
CTHREADS_LOCAL struct cthreads_place cthreads_places[CTHREADS_PLACES];
uint64_t cthreads_forks;

// The threads that have a number, linked through their own thread-local memory: whoever ends takes
// himself off the list before that memory goes.
struct node {
  uint64_t number;
  struct node *next, **link;
};
static __thread struct node here;
static struct node *running;
static uint64_t last_number = 15;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static __thread bool has_kept;
static void (*at_end)(uint64_t);

void cthreads_keep(uint64_t key, void *value) {
  struct cthreads_place *place = cthreads_place_of(key);
  place->value = value;
  place->key = key;
  has_kept = true;
}

void cthreads_at_end(void (*action)(uint64_t)) {
  __atomic_store_n(&at_end, action, __ATOMIC_RELEASE);
}

static void leave(void *unused) {
  (void)unused;
  void (*action)(uint64_t) = __atomic_load_n(&at_end, __ATOMIC_ACQUIRE);
  if (has_kept && action) {
    uint64_t number = cthreads_number;
    memset(cthreads_places, 0, sizeof cthreads_places);
    cthreads_number = CTHREADS_ENDING;
    action(number);
  }
  pthread_mutex_lock(&lock);
  if (here.link) {
    *here.link = here.next;
    if (here.next) here.next->link = here.link;
    here.link = 0;
  }
  pthread_mutex_unlock(&lock);
  // What destructors after this one return is another thread's.
  cthreads_number = CTHREADS_ENDING;
}

uint64_t cthreads_enter(void) {
  if (cthreads_number) return cthreads_number;
  pthread_mutex_lock(&lock);
  here.number = ++last_number;
  here.next = running;
  here.link = &running;
  if (running) running->link = &here.next;
  running = &here;
  pthread_mutex_unlock(&lock);
  cthreads_number = here.number;
  // Without memory for it the thread's end goes unnoticed: it counts as running.
  pthread_setspecific(key, (void *)(uintptr_t)here.number);
  return cthreads_number;
}

bool cthreads_is_running(uint64_t number) {
  bool found = false;
  pthread_mutex_lock(&lock);
  for (struct node *n = running; n && !found; n = n->next) found = n->number == number;
  pthread_mutex_unlock(&lock);
  return found;
}

void cthreads_yield(void) { sched_yield(); }

// --- fork: the child has one thread, which is nobody's owner.

static struct cthreads_forked_word *forked_words;

void cthreads_clear_when_forked(struct cthreads_forked_word *entry, uint64_t *word) {
  pthread_mutex_lock(&lock);
  entry->word = word;
  entry->next = forked_words;
  entry->link = &forked_words;
  if (forked_words) forked_words->link = &entry->next;
  forked_words = entry;
  pthread_mutex_unlock(&lock);
}

void cthreads_forget(struct cthreads_forked_word *entry) {
  pthread_mutex_lock(&lock);
  *entry->link = entry->next;
  if (entry->next) entry->next->link = entry->link;
  pthread_mutex_unlock(&lock);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&lock); }
static void after_fork_in_child(void) {
  running = 0;
  here.link = 0;
  memset(cthreads_places, 0, sizeof cthreads_places);
  has_kept = false;
  cthreads_number = 0;
  __atomic_fetch_add(&cthreads_forks, 1, __ATOMIC_RELAXED);
  for (struct cthreads_forked_word *w = forked_words; w; w = w->next) {
    __atomic_store_n(w->word, 0, __ATOMIC_RELAXED);
  }
  pthread_mutex_unlock(&lock);
}

// --- the barrier

// linux/membarrier.h, whose commands are older than every kernel with udmabuf.
enum { private_expedited = 1 << 3, register_private_expedited = 1 << 4 };

static int has_membarrier;
static char *page;
static pthread_mutex_t page_lock = PTHREAD_MUTEX_INITIALIZER;

void cthreads_barrier(void) {
  if (has_membarrier && syscall(SYS_membarrier, private_expedited, 0, 0) == 0) return;
  pthread_mutex_lock(&page_lock);
  if (!page) {
    page = mmap(0, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) abort();
  }
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  // The page has to be in the processors' tables for its loss to interrupt them.
  if (mprotect(page, size, PROT_READ | PROT_WRITE)) abort();
  *(volatile char *)page += 1;
  if (mprotect(page, size, PROT_READ)) abort();
  pthread_mutex_unlock(&page_lock);
}

__attribute__((constructor)) static void set_up(void) {
  has_membarrier = syscall(SYS_membarrier, register_private_expedited, 0, 0) == 0;
  if (pthread_key_create(&key, leave)) abort();
  if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child)) abort();
}
