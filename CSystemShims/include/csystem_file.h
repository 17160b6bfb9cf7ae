// SPDX-License-Identifier: Apache-2.0
//
// File descriptors: open, close, duplicate, identity, size, reading at an offset.
// Why C: open(2) and fcntl(2) are variadic; struct stat differs between libcs.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// open(2) with O_CLOEXEC. `writable` chooses O_RDWR over O_RDONLY. Returns an fd that the caller
/// owns. Minimum kernel: any.
int csystem_file_open(const char *path, int writable);

/// close(2). The fd is gone whatever is returned, so this must not be retried.
int csystem_file_close(int fd);

/// fcntl(F_DUPFD_CLOEXEC). Returns a second fd that the caller owns.
int csystem_file_duplicate(int fd);

/// fstat(2), reduced to what names a file: its device and inode numbers.
int csystem_file_identity(int fd, uint64_t *device, uint64_t *inode);

/// lseek(SEEK_END), then back to 0: the byte count of a file or of a dma-buf, which knows only
/// these two seeks (dma_buf_llseek in drivers/dma-buf/dma-buf.c).
int64_t csystem_file_byte_count(int fd);

/// read(2) and pread(2): bytes read, 0 at the end.
int64_t csystem_file_read(int fd, void *bytes, size_t byte_count);
int64_t csystem_file_read_at(int fd, void *bytes, size_t byte_count, uint64_t offset);

#ifdef __cplusplus
}
#endif
