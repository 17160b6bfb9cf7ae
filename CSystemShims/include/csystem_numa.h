// SPDX-License-Identifier: Apache-2.0
//
// NUMA nodes through libnuma.
// Why C: libnuma's bit masks and its global pointers, which a strict language cannot read.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// 1 if the kernel has NUMA system calls (numa_available), else 0: then node 0 is all memory.
int csystem_numa_is_available(void);

/// One past the highest node number that may exist (numa_max_node + 1); 1 without NUMA.
int csystem_numa_node_limit(void);

/// 1 if this process may allocate on `node` (get_mempolicy(MPOL_F_MEMS_ALLOWED)), else 0. Where a
/// filter of system calls refuses the question: what /proc and /sys said at the start, else node 0
/// alone.
int csystem_numa_may_use(int node);

/// Total and free bytes of a node (numa_node_size64). -ENODEV if there is no such node.
int csystem_numa_memory(int node, uint64_t *total_byte_count, uint64_t *free_byte_count);

/// mbind(MPOL_BIND): pages of the range that are not there yet will come from `node` and from no
/// other. On a shared memory file the policy sticks to the file's range. -EINVAL: no such node.
int csystem_numa_bind(void *address, size_t byte_count, int node);

/// The node that holds the page of `address` (move_pages with no targets): -ENOENT if the page is
/// not there yet, -EFAULT if nothing is mapped there or the mapping is VM_PFNMAP.
int csystem_numa_node_of(const void *address);

/// The node that the calling thread allocates from first (get_mempolicy), else the one it runs on,
/// else the first one: always one that csystem_numa_may_use.
int csystem_numa_preferred(void);

/// Sets the bits of a node's processors in `word_count` words (numa_node_to_cpus), and answers how
/// many. -ENODEV: no such node, and for any node on a kernel without NUMA.
int csystem_numa_processors(int node, uint64_t *processors, size_t word_count);

#ifdef __cplusplus
}
#endif
