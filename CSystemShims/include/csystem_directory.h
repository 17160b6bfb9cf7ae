// SPDX-License-Identifier: Apache-2.0
//
// The names in a directory.
// Why C: struct dirent's flexible name and readdir's errno protocol.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Writes the names in `path`, without "." and "..", each ended by a NUL, in the directory's order.
/// Returns the bytes used; -ERANGE if `byte_count` is too small. Leaves no fd behind.
int64_t csystem_directory_names(const char *path, char *names, size_t byte_count);

#ifdef __cplusplus
}
#endif
