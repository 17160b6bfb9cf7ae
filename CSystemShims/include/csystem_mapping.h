// SPDX-License-Identifier: Apache-2.0
//
// mmap(2) and friends.
// Why C: MAP_HUGE_* and MADV_POPULATE_WRITE are macros that Swift does not import.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// MAP_SHARED of a file. The mapping keeps the file's memory alive after the fd is closed.
/// `fixed_address` non-NULL replaces what is mapped there (MAP_FIXED): only for a range inside a
/// reservation of the caller's.
int csystem_mapping_map_file(
  int fd, uint64_t offset, size_t byte_count, int writable, void *fixed_address, void **address);

/// Private anonymous memory. `page_shift` 0 means base pages, 21 and 30 huge pages from the pool
/// (MAP_HUGETLB; -ENOMEM when the pool has too few).
int csystem_mapping_map_anonymous(size_t byte_count, unsigned page_shift, void **address);

/// Address space without memory (PROT_NONE), to be filled by fixed mappings, at a multiple of
/// `alignment` (a power of two, at least the page size), which huge pages need.
int csystem_mapping_reserve(size_t byte_count, size_t alignment, void **address);

/// munmap(2).
int csystem_mapping_unmap(void *address, size_t byte_count);

/// MADV_POPULATE_WRITE: faults in every page for writing with one call, without changing a byte.
/// -ENOMEM without memory, -EFAULT where a touch would raise SIGBUS (hugetlb pool or tmpfs empty),
/// -EINVAL before Linux 5.14 and on VM_PFNMAP mappings, such as a udmabuf's own since 6.11.
///
/// By `thread_count` threads at once (at most 16, the caller's among them), each of which takes the
/// next piece of `piece_byte_count` (> 0) until none is left; by fewer where no more can be made;
/// by one in a single call. `processors` (NULL, or csystem_thread_word_count words) are where all
/// of the threads run; then the caller's, which stays where it is, works only where there is no
/// other. All have ended when it returns, with the first error. `file` (or -1) is one whose base
/// pages from its start on are mapped there: several threads find them allocated (fallocate(2)),
/// which is faster than by their faults; no error of that call is one of this.
int csystem_mapping_populate(
  void *address, size_t byte_count, unsigned thread_count, size_t piece_byte_count,
  const uint64_t *processors, int file);

/// mincore-free check for a test: process_vm_readv(2) of this very process, which reads through
/// get_user_pages. Bytes read; -EFAULT on VM_PFNMAP mappings.
int64_t csystem_mapping_read_through_pages(const void *address, void *bytes, size_t byte_count);

#ifdef __cplusplus
}
#endif
