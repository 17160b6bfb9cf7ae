// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_numa.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <numa.h>
#include <numaif.h>

int csystem_numa_is_available(void) {
  return numa_available() >= 0;
}

int csystem_numa_node_limit(void) {
  return numa_available() < 0 ? 1 : numa_max_node() + 1;
}

int csystem_numa_may_use(int node) {
  if (numa_available() < 0) {
    return node == 0;
  }
  struct bitmask *allowed = numa_get_mems_allowed();
  int result = node >= 0 && numa_bitmask_isbitset(allowed, (unsigned)node);
  numa_bitmask_free(allowed);
  return result;
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
  // -1 under the default policy since libnuma 2.0.15: then it is the node of this CPU.
  int node = numa_preferred();
  if (node >= 0) {
    return node;
  }
  node = numa_node_of_cpu(sched_getcpu());
  return node >= 0 ? node : 0;
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
