// SPDX-License-Identifier: Apache-2.0
//
// File descriptors: open, close, duplicate, identity, size, reading at an offset; files that
// processes share: written as a whole, and locks on their bytes.
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

/// mkdir(2); a folder that is there already is as good.
int csystem_file_make_folder(const char *path, uint32_t mode);

/// open(2) for reading and writing, made where it is not there; no link is followed (-ELOOP).
/// Returns an fd that the caller owns.
int csystem_file_create(const char *path, uint32_t mode);

/// Writes `new_path` and renames it to `path`: who opens `path` finds what was there before or all
/// of what is new, whenever this process is killed. On an error `path` is as it was, and `new_path`
/// is gone.
int csystem_file_replace(
  const char *path, const char *new_path, const void *bytes, size_t byte_count, uint32_t mode);

/// unlink(2); a file that is gone already is as good.
int csystem_file_remove(const char *path);

/// F_OFD_SETLK, F_OFD_GETLK: locks on one byte of a file, which need not be there. A lock belongs
/// to the open file, not to the process: two that open the file keep each other out also within
/// one process, and the kernel unlocks when the last descriptor closes, however the process ends. A
/// forked child shares it. `lock` does not wait: -EAGAIN if another open file has it. `is_locked`
/// is 1 if another open file has it. `await_lock` waits until nobody else has it, with `is_shared`
/// until nobody else has it for itself alone. Minimum kernel: 3.15.
int csystem_file_lock(int fd, uint64_t offset);
int csystem_file_await_lock(int fd, uint64_t offset, int is_shared);
int csystem_file_unlock(int fd, uint64_t offset);
int csystem_file_is_locked(int fd, uint64_t offset);

#ifdef __cplusplus
}
#endif
