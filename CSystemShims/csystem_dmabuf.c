// SPDX-License-Identifier: Apache-2.0
#include "csystem_dmabuf.h"

#include <errno.h>
#include <sys/ioctl.h>

#include <linux/types.h>

#include <linux/dma-buf.h>

_Static_assert(csystem_dmabuf_sync_read == DMA_BUF_SYNC_READ, "sync bits");
_Static_assert(csystem_dmabuf_sync_write == DMA_BUF_SYNC_WRITE, "sync bits");
_Static_assert(csystem_dmabuf_sync_end == DMA_BUF_SYNC_END, "sync bits");

int csystem_dmabuf_sync(int fd, uint64_t flags) {
  struct dma_buf_sync argument = {.flags = flags};
  return ioctl(fd, DMA_BUF_IOCTL_SYNC, &argument) < 0 ? -errno : 0;
}

int csystem_dmabuf_set_name(int fd, const char *name) {
  return ioctl(fd, DMA_BUF_SET_NAME_B, name) < 0 ? -errno : 0;
}

int csystem_dmabuf_export_sync_file(int fd, uint32_t flags) {
  struct dma_buf_export_sync_file argument = {.flags = flags, .fd = -1};
  return ioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &argument) < 0 ? -errno : argument.fd;
}

int csystem_dmabuf_import_sync_file(int fd, int sync_file, uint32_t flags) {
  struct dma_buf_import_sync_file argument = {.flags = flags, .fd = sync_file};
  return ioctl(fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &argument) < 0 ? -errno : 0;
}
