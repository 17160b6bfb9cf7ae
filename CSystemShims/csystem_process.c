// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/auxv.h>
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

int csystem_process_spawn(const char *path, const char *const *arguments, int fd, int number) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;
  sigset_t all;
  pid_t child = 0;
  int error = posix_spawn_file_actions_init(&actions);
  if (error != 0) {
    return -error;
  }
  error = posix_spawnattr_init(&attributes);
  if (error != 0) {
    posix_spawn_file_actions_destroy(&actions);
    return -error;
  }
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  // The copy is not close-on-exec.
  error = posix_spawn_file_actions_adddup2(&actions, fd, number);
  if (error == 0) {
    error =
      posix_spawn(&child, path, &actions, &attributes, (char *const *)arguments, environ);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error != 0 ? -error : child;
}

static int started_argument_count;
static char **started_arguments;

// glibc hands main's arguments to constructors.
__attribute__((constructor)) static void keep_arguments(int count, char **arguments) {
  started_argument_count = count;
  started_arguments = arguments;
}

const char *csystem_process_argument(int position) {
  return position >= 0 && position < started_argument_count ? started_arguments[position] : NULL;
}

const char *csystem_process_executable_path(void) {
  const char *path = (const char *)getauxval(AT_EXECFN);
  return path != NULL ? path : "";
}

int csystem_process_limit(int which, uint64_t *limit) {
  struct rlimit value;
  const int resources[] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_FSIZE};
  if (which < 0 || which > 3) {
    return -EINVAL;
  }
  if (getrlimit(resources[which], &value) < 0) {
    return -errno;
  }
  *limit = value.rlim_cur == RLIM_INFINITY ? UINT64_MAX : value.rlim_cur;
  return 0;
}
