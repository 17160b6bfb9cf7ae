// SPDX-License-Identifier: Apache-2.0
//
// /dev/udmabuf (drivers/dma-buf/udmabuf.c): a dma-buf over ranges of memory files.
// Why C: ioctl(2) is variadic and the list form ends in a flexible array.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One range of one memory file; the layout of struct udmabuf_create_item.
struct csystem_udmabuf_item {
  uint32_t memory_file;
  uint32_t reserved;
  uint64_t offset;
  uint64_t byte_count;
};

/// UDMABUF_CREATE with UDMABUF_FLAGS_CLOEXEC. Returns a dma-buf fd that the caller owns; the
/// dma-buf keeps the pages pinned until its last fd, mapping and attachment are gone.
/// -EINVAL: no F_SEAL_SHRINK, F_SEAL_WRITE or F_SEAL_FUTURE_WRITE set, offset or byte count 0 or
/// not a multiple of the page size, past the file's end, above size_limit_mb. -EBADFD: not a
/// memory file. Minimum kernel: 4.20.
int csystem_udmabuf_create(int device, int memory_file, uint64_t offset, uint64_t byte_count);

/// UDMABUF_CREATE_LIST, same flags and errors; also -EINVAL above list_limit items, and -ENOMEM
/// when the argument cannot be built. The ranges follow each other in the dma-buf.
int csystem_udmabuf_create_list(
  int device, const struct csystem_udmabuf_item *items, uint32_t item_count);

#ifdef __cplusplus
}
#endif
