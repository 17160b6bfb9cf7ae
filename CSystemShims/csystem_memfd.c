// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/memfd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // include/uapi/linux/memfd.h, Linux 6.3
#endif

_Static_assert(csystem_memfd_seal_seal == F_SEAL_SEAL, "seal bits");
_Static_assert(csystem_memfd_seal_shrink == F_SEAL_SHRINK, "seal bits");
_Static_assert(csystem_memfd_seal_grow == F_SEAL_GROW, "seal bits");
_Static_assert(csystem_memfd_seal_write == F_SEAL_WRITE, "seal bits");
_Static_assert(csystem_memfd_seal_future_write == F_SEAL_FUTURE_WRITE, "seal bits");

int csystem_memfd_create(const char *name, unsigned page_shift, int sealable, int no_exec) {
  unsigned flags = MFD_CLOEXEC;
  if (sealable) {
    flags |= MFD_ALLOW_SEALING;
  }
  if (page_shift != 0) {
    flags |= MFD_HUGETLB | (page_shift << MFD_HUGE_SHIFT);
  }
  if (no_exec) {
    flags |= MFD_NOEXEC_SEAL;
  }
  int fd = memfd_create(name, flags);
  return fd < 0 ? -errno : fd;
}

int64_t csystem_memfd_page_byte_count(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) < 0) {
    return -errno;
  }
  if (status.f_type != TMPFS_MAGIC && status.f_type != HUGETLBFS_MAGIC) {
    return -EINVAL;
  }
  return status.f_bsize;
}

int csystem_memfd_resize(int fd, uint64_t byte_count) {
  // The kernel would send SIGXFSZ, which ends the process.
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      byte_count > limit.rlim_cur) {
    return -EFBIG;
  }
  return ftruncate(fd, (off_t)byte_count) < 0 ? -errno : 0;
}

int csystem_memfd_add_seals(int fd, unsigned seals) {
  return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int csystem_memfd_seals(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  return seals < 0 ? -errno : seals;
}
