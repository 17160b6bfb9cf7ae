// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_mapping.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
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

struct populate_part {
  pthread_t thread;
  int is_started;
  char *address;
  size_t byte_count;
  int result;
};

static void *populate_part(void *argument) {
  struct populate_part *part = argument;
  do {
    part->result =
      madvise(part->address, part->byte_count, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
  } while (part->result == -EINTR);
  return NULL;
}

static void *populate_part_on_thread(void *argument) {
  pthread_setname_np(pthread_self(), "devmem-populate");
  return populate_part(argument);
}

// Starts threads for the parts from `first` on, without a wait. A part for which there is none is
// left to the caller.
static void start_parts(
  struct populate_part *parts, unsigned first, unsigned count, const uint64_t *processors) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) {
    return;
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
  for (unsigned i = first; i < count; i++) {
    parts[i].is_started =
      pthread_create(&parts[i].thread, &attributes, populate_part_on_thread, &parts[i]) == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
}

enum { populate_part_limit = 16 };

int csystem_mapping_populate(
  void *address, size_t byte_count, unsigned part_count, size_t part_alignment,
  const uint64_t *processors) {
  struct populate_part parts[populate_part_limit];
  if (part_count > populate_part_limit) {
    part_count = populate_part_limit;
  }
  size_t step = part_count < 2
                  ? byte_count
                  : byte_count / part_count / part_alignment * part_alignment;
  if (step == 0) {
    step = byte_count;
  }
  unsigned count = 0;
  for (size_t start = 0; start < byte_count; count++) {
    size_t length = byte_count - start;
    // The last part has what is left.
    if (length > step && count + 1 < part_count) {
      length = step;
    }
    parts[count] = (struct populate_part){.address = (char *)address + start, .byte_count = length};
    start += length;
  }
  // The calling thread stays where it is: it does a part only where any processor will do.
  start_parts(parts, processors == NULL ? 1 : 0, count, processors);
  int result = 0;
  for (unsigned i = 0; i < count; i++) {
    if (parts[i].is_started) {
      pthread_join(parts[i].thread, NULL);
    } else {
      populate_part(&parts[i]);
    }
    if (result == 0) {
      result = parts[i].result;
    }
  }
  return result;
}

int64_t csystem_mapping_read_through_pages(const void *address, void *bytes, size_t byte_count) {
  struct iovec local = {.iov_base = bytes, .iov_len = byte_count};
  struct iovec remote = {.iov_base = (void *)address, .iov_len = byte_count};
  ssize_t count = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return count < 0 ? -errno : count;
}
