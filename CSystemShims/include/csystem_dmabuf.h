// SPDX-License-Identifier: Apache-2.0
//
// Operations on a dma-buf fd (include/uapi/linux/dma-buf.h).
// Why C: ioctl(2) is variadic.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// DMA_BUF_SYNC_* bits.
enum {
  csystem_dmabuf_sync_read = 1,
  csystem_dmabuf_sync_write = 2,
  csystem_dmabuf_sync_end = 4,
};

/// DMA_BUF_IOCTL_SYNC: begins (no sync_end bit) or ends CPU access to the whole buffer; the first
/// begin waits for fences. -EINVAL: neither read nor write, unknown bits, or an end before the
/// first begin. -ENOTTY: not a dma-buf. -EINTR and -EAGAIN: to be retried.
int csystem_dmabuf_sync(int fd, uint64_t flags);

/// DMA_BUF_SET_NAME: at most 31 bytes, -EINVAL or -ENAMETOOLONG above.
int csystem_dmabuf_set_name(int fd, const char *name);

/// DMA_BUF_IOCTL_EXPORT_SYNC_FILE: a sync file fd that the caller owns, with the fences of those
/// who write (read bit) or of all users (write bit). Minimum kernel: 6.0, -ENOTTY before.
int csystem_dmabuf_export_sync_file(int fd, uint32_t flags);

/// DMA_BUF_IOCTL_IMPORT_SYNC_FILE: adds the sync file's fences to the dma-buf. The sync file stays
/// the caller's. -EINVAL if it is no sync file. Minimum kernel: 6.0, -ENOTTY before.
int csystem_dmabuf_import_sync_file(int fd, int sync_file, uint32_t flags);

#ifdef __cplusplus
}
#endif
