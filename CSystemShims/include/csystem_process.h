// SPDX-License-Identifier: Apache-2.0
//
// What the process and the kernel say of themselves.
// Why C: struct utsname's arrays import as tuples, sysconf's names are macros.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// uname(2): the kernel's release, "6.12.95+deb13-amd64", NUL-terminated and cut to fit.
int csystem_process_kernel_release(char *release, size_t byte_count);

/// geteuid(2). Cannot fail.
uint32_t csystem_process_effective_user(void);

/// seteuid(2). -EPERM.
int csystem_process_set_effective_user(uint32_t user);

/// sysconf(_SC_PAGESIZE).
int csystem_process_page_byte_count(void);

/// sched_setaffinity(2): keeps the calling thread on one processor. -EINVAL for one that is not
/// there or that the process may not use.
int csystem_process_set_processor(int processor);

/// posix_spawn(3) of a program with the caller's environment, no signal blocked and none ignored.
/// Its descriptor `number` is `fd`, which stays the caller's; what else is open there is what is
/// not close-on-exec here. Returns the child's number, which the caller has to wait for. -ENOENT,
/// -EAGAIN.
int csystem_process_spawn(const char *path, const char *const *arguments, int fd, int number);

/// An argument that this program was started with, its name first; NULL behind the last one.
/// Static. Swift's own list comes from /proc, and is empty without.
const char *csystem_process_argument(int position);

/// The path by which this program was started (AT_EXECFN), as it was given to execve(2). Static.
const char *csystem_process_executable_path(void);

/// getrlimit(2) of RLIMIT_NOFILE (0), RLIMIT_MEMLOCK (1), RLIMIT_AS (2) or RLIMIT_FSIZE (3): the
/// soft limit, UINT64_MAX unlimited.
int csystem_process_limit(int which, uint64_t *limit);

#ifdef __cplusplus
}
#endif
