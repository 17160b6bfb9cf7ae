// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_interface.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

_Static_assert(csystem_interface_name_size == IF_NAMESIZE, "size");

int csystem_interface_index(const char *name, uint32_t *index) {
  *index = if_nametoindex(name);
  return *index == 0 ? -errno : 0;
}

int csystem_interface_name(uint32_t index, char *name) {
  return if_indextoname(index, name) == NULL ? -errno : (int)strlen(name);
}
