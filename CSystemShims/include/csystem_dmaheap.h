// SPDX-License-Identifier: Apache-2.0
//
// /dev/dma_heap/NAME (drivers/dma-buf/dma-heap.c).
// Why C: ioctl(2) is variadic.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// DMA_HEAP_IOCTL_ALLOC with O_RDWR | O_CLOEXEC. Returns a dma-buf fd that the caller owns, its
/// bytes zero. The kernel rounds byte_count up to whole pages. -EINVAL for 0, -ENOMEM.
/// Minimum kernel: 5.6.
int csystem_dmaheap_allocate(int heap, uint64_t byte_count);

#ifdef __cplusplus
}
#endif
