// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_numa.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <numa.h>
#include <numaif.h>

int csystem_numa_is_available(void) {
  return numa_available() >= 0;
}

int csystem_numa_node_limit(void) {
  return numa_available() < 0 ? 1 : numa_max_node() + 1;
}

// Words of a node mask, as many as Linux can have nodes (MAX_NUMNODES of CONFIG_NODES_SHIFT=10).
enum { mask_word_count = 1024 / 64 };

static int has_bit(const unsigned long *mask, int node) {
  return node >= 0 && node < mask_word_count * 64 && (mask[node / 64] >> node % 64 & 1) != 0;
}

// The nodes that this process may allocate on. Not by libnuma, which writes to standard error when
// a filter of system calls (seccomp) refuses get_mempolicy. 0 if that cannot be asked.
static int read_allowed(unsigned long *mask) {
  memset(mask, 0, mask_word_count * sizeof(*mask));
  return syscall(
           SYS_get_mempolicy, NULL, mask, (unsigned long)mask_word_count * 64, NULL,
           (unsigned long)MPOL_F_MEMS_ALLOWED) == 0;
}

int csystem_numa_may_use(int node) {
  if (numa_available() < 0) {
    return node == 0;
  }
  unsigned long mask[mask_word_count];
  if (read_allowed(mask)) {
    return has_bit(mask, node);
  }
  // What libnuma read from /proc and /sys when it was loaded; node 0 where they say nothing.
  if (numa_all_nodes_ptr == NULL || numa_bitmask_weight(numa_all_nodes_ptr) == 0) {
    return node == 0;
  }
  return node >= 0 && numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)node) != 0;
}

int csystem_numa_memory(int node, uint64_t *total_byte_count, uint64_t *free_byte_count) {
  if (numa_available() < 0) {
    return -ENODEV;
  }
  long long free_bytes = 0;
  long long total_bytes = numa_node_size64(node, &free_bytes);
  if (total_bytes < 0) {
    return -ENODEV;
  }
  *total_byte_count = (uint64_t)total_bytes;
  *free_byte_count = (uint64_t)free_bytes;
  return 0;
}

int csystem_numa_bind(void *address, size_t byte_count, int node) {
  // numa_tonode_memory would swallow the error, so the system call itself, with a libnuma mask.
  if (numa_available() < 0 || node < 0 || node > numa_max_node()) {
    return -EINVAL;
  }
  struct bitmask *mask = numa_bitmask_alloc((unsigned)numa_max_node() + 1);
  numa_bitmask_setbit(mask, (unsigned)node);
  long result = mbind(address, byte_count, MPOL_BIND, mask->maskp, mask->size + 1, 0);
  int error = errno;
  numa_bitmask_free(mask);
  return result < 0 ? -error : 0;
}

int csystem_numa_node_of(const void *address) {
  // move_pages and not get_mempolicy(MPOL_F_ADDR): the latter would fault an absent page in.
  void *page = (void *)address;
  int status = -ENOENT;
  if (numa_move_pages(0, 1, &page, NULL, &status, 0) < 0) {
    return -errno;
  }
  return status;
}

int csystem_numa_preferred(void) {
  if (numa_available() < 0) {
    return 0;
  }
  unsigned long mask[mask_word_count] = {0};
  int mode = MPOL_DEFAULT;
  long asked = syscall(
    SYS_get_mempolicy, &mode, mask, (unsigned long)mask_word_count * 64, NULL, 0UL);
  int limit = csystem_numa_node_limit();
  if (asked == 0 && (mode == MPOL_PREFERRED || mode == MPOL_BIND)) {
    for (int node = 0; node < limit; node++) {
      if (has_bit(mask, node) && csystem_numa_may_use(node)) {
        return node;
      }
    }
  }
  // Else it is the node of this processor, if the process may use it.
  int processor = sched_getcpu();
  int here = processor < 0 ? -1 : numa_node_of_cpu(processor);
  if (here >= 0 && csystem_numa_may_use(here)) {
    return here;
  }
  for (int node = 0; node < limit; node++) {
    if (csystem_numa_may_use(node)) {
      return node;
    }
  }
  return 0;
}

int csystem_numa_processors(int node, uint64_t *processors, size_t word_count) {
  memset(processors, 0, word_count * sizeof(*processors));
  if (numa_available() < 0 || node < 0 || node > numa_max_node() ||
      !numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)node)) {
    return -ENODEV;
  }
  struct bitmask *mask = numa_allocate_cpumask();
  int result = numa_node_to_cpus(node, mask) < 0 ? -ENODEV : 0;
  for (unsigned bit = 0; result >= 0 && bit < mask->size && bit < word_count * 64; bit++) {
    if (numa_bitmask_isbitset(mask, bit)) {
      processors[bit / 64] |= 1ULL << bit % 64;
      result++;
    }
  }
  numa_bitmask_free(mask);
  return result;
}
