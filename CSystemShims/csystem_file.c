// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int csystem_file_open(const char *path, int writable) {
  int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int csystem_file_close(int fd) {
  return close(fd) < 0 ? -errno : 0;
}

int csystem_file_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}

int csystem_file_identity(int fd, uint64_t *device, uint64_t *inode) {
  struct stat status;
  if (fstat(fd, &status) < 0) {
    return -errno;
  }
  *device = status.st_dev;
  *inode = status.st_ino;
  return 0;
}

int64_t csystem_file_byte_count(int fd) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0 || lseek(fd, 0, SEEK_SET) < 0) {
    return -errno;
  }
  return end;
}

int64_t csystem_file_read(int fd, void *bytes, size_t byte_count) {
  ssize_t count = read(fd, bytes, byte_count);
  return count < 0 ? -errno : count;
}

int64_t csystem_file_read_at(int fd, void *bytes, size_t byte_count, uint64_t offset) {
  ssize_t count = pread(fd, bytes, byte_count, (off_t)offset);
  return count < 0 ? -errno : count;
}

int csystem_file_make_folder(const char *path, uint32_t mode) {
  return mkdir(path, (mode_t)mode) < 0 && errno != EEXIST ? -errno : 0;
}

int csystem_file_create(const char *path, uint32_t mode) {
  int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
  return fd < 0 ? -errno : fd;
}

int csystem_file_replace(
  const char *path, const char *new_path, const void *bytes, size_t byte_count, uint32_t mode) {
  int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
  if (fd < 0) {
    return -errno;
  }
  int result = 0;
  size_t done = 0;
  while (done < byte_count && result == 0) {
    ssize_t count = write(fd, (const char *)bytes + done, byte_count - done);
    if (count >= 0) {
      done += (size_t)count;
    } else if (errno != EINTR) {
      result = -errno;
    }
  }
  if (close(fd) < 0 && result == 0) {
    result = -errno;
  }
  if (result == 0 && rename(new_path, path) < 0) {
    result = -errno;
  }
  if (result < 0) {
    unlink(new_path);
  }
  return result;
}

int csystem_file_remove(const char *path) {
  return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static struct flock one_byte(short type, uint64_t offset) {
  return (struct flock){
    .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
}

int csystem_file_lock(int fd, uint64_t offset) {
  struct flock lock = one_byte(F_WRLCK, offset);
  return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

int csystem_file_await_lock(int fd, uint64_t offset, int is_shared) {
  struct flock lock = one_byte(is_shared ? F_RDLCK : F_WRLCK, offset);
  return fcntl(fd, F_OFD_SETLKW, &lock) < 0 ? -errno : 0;
}

int csystem_file_unlock(int fd, uint64_t offset) {
  struct flock lock = one_byte(F_UNLCK, offset);
  return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

int csystem_file_is_locked(int fd, uint64_t offset) {
  struct flock lock = one_byte(F_WRLCK, offset);
  if (fcntl(fd, F_OFD_GETLK, &lock) < 0) {
    return -errno;
  }
  return lock.l_type != F_UNLCK;
}
