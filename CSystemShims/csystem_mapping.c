// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csystem_thread.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // include/uapi/asm-generic/mman-common.h, Linux 5.14
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

static int result_of(void *mapped, void **address) {
  if (mapped == MAP_FAILED) {
    return -errno;
  }
  *address = mapped;
  return 0;
}

int csystem_mapping_map_file(
  int fd, uint64_t offset, size_t byte_count, int writable, void *fixed_address, void **address) {
  int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  int flags = MAP_SHARED | (fixed_address != NULL ? MAP_FIXED : 0);
  return result_of(
    mmap(fixed_address, byte_count, protection, flags, fd, (off_t)offset), address);
}

int csystem_mapping_map_anonymous(size_t byte_count, unsigned page_shift, void **address) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (page_shift != 0) {
    flags |= MAP_HUGETLB | (int)(page_shift << MAP_HUGE_SHIFT);
  }
  return result_of(mmap(NULL, byte_count, PROT_READ | PROT_WRITE, flags, -1, 0), address);
}

int csystem_mapping_reserve(size_t byte_count, size_t alignment, void **address) {
  // As much more as the alignment may cost; what is not needed goes back at once.
  size_t slack = alignment - (size_t)sysconf(_SC_PAGESIZE);
  if (byte_count > SIZE_MAX - slack) {
    return -ENOMEM;
  }
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  char *all = mmap(NULL, byte_count + slack, PROT_NONE, flags, -1, 0);
  if (all == MAP_FAILED) {
    return -errno;
  }
  size_t head = (alignment - (uintptr_t)all % alignment) % alignment;
  if (head > 0) {
    munmap(all, head);
  }
  if (slack > head) {
    munmap(all + head + byte_count, slack - head);
  }
  *address = all + head;
  return 0;
}

int csystem_mapping_unmap(void *address, size_t byte_count) {
  return munmap(address, byte_count) < 0 ? -errno : 0;
}

// What is to be populated. Every thread takes the next piece until none is left, so that one which
// has lost its processor holds up the others by a piece, not by its share.
struct populate_job {
  char *address;
  size_t byte_count;
  size_t piece_byte_count;
  atomic_size_t next;  // offset of the first piece that nobody has taken
  atomic_int result;   // the first error, after which no thread begins another piece
};

static void *populate_pieces(void *argument) {
  struct populate_job *job = argument;
  while (atomic_load(&job->result) == 0) {
    size_t start = atomic_fetch_add(&job->next, job->piece_byte_count);
    if (start >= job->byte_count) {
      break;
    }
    size_t length = job->byte_count - start;
    if (length > job->piece_byte_count) {
      length = job->piece_byte_count;
    }
    int result;
    do {
      result = madvise(job->address + start, length, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
    } while (result == -EINTR);
    int none = 0;
    if (result != 0) {
      atomic_compare_exchange_strong(&job->result, &none, result);
    }
  }
  return NULL;
}

static void *populate_pieces_on_thread(void *argument) {
  pthread_setname_np(pthread_self(), "devmem-populate");
  return populate_pieces(argument);
}

// Starts up to `count` threads, without a wait. Returns how many there are.
static unsigned start_threads(
  struct populate_job *job, pthread_t *threads, unsigned count, const uint64_t *processors) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) {
    return 0;
  }
  if (processors != NULL) {
    size_t byte_count = csystem_thread_word_count * sizeof(uint64_t);
    // Fails for want of memory alone. Where none of the processors is there, making a thread does.
    pthread_attr_setaffinity_np(&attributes, byte_count, (const cpu_set_t *)processors);
  }
  // No signal of the process is to be handled on these threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  unsigned started = 0;
  while (
    started < count &&
    pthread_create(&threads[started], &attributes, populate_pieces_on_thread, job) == 0) {
    started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

// Has the file's pages allocated, neither zeroed nor mapped: many in one call, where faults would
// take the file's locks for each, and several threads from each other. What this cannot do the
// faults do, and say why not. In pieces, because a signal undoes the one that it comes into.
static void allocate_ahead(int file, size_t byte_count, size_t piece_byte_count) {
  for (size_t start = 0; start < byte_count; start += piece_byte_count) {
    size_t length = byte_count - start;
    if (length > piece_byte_count) {
      length = piece_byte_count;
    }
    if (fallocate(file, 0, (off_t)start, (off_t)length) < 0 && errno != EINTR) {
      return;
    }
  }
}

enum { populate_thread_limit = 16 };

int csystem_mapping_populate(
  void *address, size_t byte_count, unsigned thread_count, size_t piece_byte_count,
  const uint64_t *processors, int file) {
  struct populate_job job = {
    .address = address,
    .byte_count = byte_count,
    .piece_byte_count = thread_count < 2 && processors == NULL ? byte_count : piece_byte_count,
  };
  pthread_t threads[populate_thread_limit];
  if (thread_count > populate_thread_limit) {
    thread_count = populate_thread_limit;
  }
  // The calling thread stays where it is: it takes part only where any processor will do, or where
  // there is nobody else.
  unsigned wanted = processors != NULL ? thread_count : thread_count < 2 ? 0 : thread_count - 1;
  if (file >= 0 && wanted > 0) {
    allocate_ahead(file, byte_count, piece_byte_count);
  }
  unsigned started = start_threads(&job, threads, wanted, processors);
  if (processors == NULL || started == 0) {
    populate_pieces(&job);
  }
  for (unsigned i = 0; i < started; i++) {
    pthread_join(threads[i], NULL);
  }
  return atomic_load(&job.result);
}

int64_t csystem_mapping_read_through_pages(const void *address, void *bytes, size_t byte_count) {
  struct iovec local = {.iov_base = bytes, .iov_len = byte_count};
  struct iovec remote = {.iov_base = (void *)address, .iov_len = byte_count};
  ssize_t count = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return count < 0 ? -errno : count;
}
