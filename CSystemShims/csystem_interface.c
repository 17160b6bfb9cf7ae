// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_interface.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(csystem_interface_name_size == IF_NAMESIZE, "size");

// glibc asks over a socket, and where it gets none its errno is that of whatever it tried last.
static int error_of(int error) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -errno;
  }
  close(fd);
  return -error;
}

int csystem_interface_index(const char *name, uint32_t *index) {
  *index = if_nametoindex(name);
  return *index == 0 ? error_of(errno) : 0;
}

int csystem_interface_name(uint32_t index, char *name) {
  return if_indextoname(index, name) == NULL ? error_of(errno) : (int)strlen(name);
}
