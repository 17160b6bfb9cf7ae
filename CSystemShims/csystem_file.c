// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_file.h"

#include <errno.h>
#include <fcntl.h>
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
