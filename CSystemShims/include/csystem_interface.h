// SPDX-License-Identifier: Apache-2.0
//
// Names and numbers of network interfaces (if_nametoindex(3)), in the caller's network namespace.
// Why C: names are sized arrays of IF_NAMESIZE.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /// IF_NAMESIZE: bytes of a name with its NUL.
  csystem_interface_name_size = 16,
};

/// if_nametoindex(3). Writes the number, >= 1. -ENODEV.
int csystem_interface_index(const char *name, uint32_t *index);

/// if_indextoname(3) into csystem_interface_name_size bytes. Returns the name's length. -ENXIO.
int csystem_interface_name(uint32_t index, char *name);

#ifdef __cplusplus
}
#endif
