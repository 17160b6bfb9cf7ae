// SPDX-License-Identifier: Apache-2.0
//
// Memory files: memfd_create(2) and file seals.
// Why C: fcntl(2) is variadic and MFD_NOEXEC_SEAL is newer than Debian 12's headers.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Seal bits, as in linux/fcntl.h.
enum {
  csystem_memfd_seal_seal = 0x01,
  csystem_memfd_seal_shrink = 0x02,
  csystem_memfd_seal_grow = 0x04,
  csystem_memfd_seal_write = 0x08,
  csystem_memfd_seal_future_write = 0x10,
};

/// memfd_create(MFD_CLOEXEC, ...). Returns an fd that the caller owns.
///
/// `page_shift` 0 means base pages, 21 and 30 huge pages of 2 MiB and 1 GiB (MFD_HUGETLB).
/// `sealable` adds MFD_ALLOW_SEALING. `no_exec` adds MFD_NOEXEC_SEAL (Linux 6.3; -EINVAL before).
/// Minimum kernel: 4.16 (hugetlb memfds with seals).
int csystem_memfd_create(const char *name, unsigned page_shift, int sealable, int no_exec);

/// The page size beneath a memfd in bytes (fstatfs(2)): 4096 for tmpfs, else the huge page size.
/// -EINVAL if the file lies on no file system of memory files.
int64_t csystem_memfd_page_byte_count(int fd);

/// ftruncate(2). -EPERM where a seal forbids it, -EFBIG above RLIMIT_FSIZE (without the signal).
int csystem_memfd_resize(int fd, uint64_t byte_count);

/// fcntl(F_ADD_SEALS). -EPERM after F_SEAL_SEAL, -EBUSY for F_SEAL_WRITE while mapped or pinned.
int csystem_memfd_add_seals(int fd, unsigned seals);

/// fcntl(F_GET_SEALS): the seal bits. -EINVAL if the file is no memfd.
int csystem_memfd_seals(int fd);

#ifdef __cplusplus
}
#endif
