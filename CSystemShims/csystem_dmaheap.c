// SPDX-License-Identifier: Apache-2.0
#include "csystem_dmaheap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <linux/types.h>

#include <linux/dma-heap.h>

int csystem_dmaheap_allocate(int heap, uint64_t byte_count) {
  struct dma_heap_allocation_data argument = {
    .len = byte_count,
    .fd_flags = O_RDWR | O_CLOEXEC,
  };
  return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &argument) < 0 ? -errno : (int)argument.fd;
}
