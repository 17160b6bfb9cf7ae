// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_process.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

int csystem_process_kernel_release(char *release, size_t byte_count) {
  struct utsname names;
  if (byte_count == 0) {
    return -EINVAL;
  }
  if (uname(&names) < 0) {
    return -errno;
  }
  size_t length = strnlen(names.release, byte_count - 1);
  memcpy(release, names.release, length);
  release[length] = 0;
  return (int)length;
}

uint32_t csystem_process_effective_user(void) {
  return geteuid();
}

int csystem_process_set_effective_user(uint32_t user) {
  return seteuid(user) < 0 ? -errno : 0;
}

int csystem_process_page_byte_count(void) {
  return (int)sysconf(_SC_PAGESIZE);
}

int csystem_process_set_processor(int processor) {
  cpu_set_t set;
  if (processor < 0 || processor >= CPU_SETSIZE) {
    return -EINVAL;
  }
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

int csystem_process_limit(int which, uint64_t *limit) {
  struct rlimit value;
  if (getrlimit(which == 0 ? RLIMIT_NOFILE : RLIMIT_MEMLOCK, &value) < 0) {
    return -errno;
  }
  *limit = value.rlim_cur == RLIM_INFINITY ? UINT64_MAX : value.rlim_cur;
  return 0;
}
