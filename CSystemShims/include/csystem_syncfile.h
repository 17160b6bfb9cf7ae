// SPDX-License-Identifier: Apache-2.0
//
// Sync files: fences of devices as file descriptors (include/uapi/linux/sync_file.h).
// Why C: ioctl(2) is variadic.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// SYNC_IOC_FILE_INFO: how far the fence is. Writes 0 while it is pending, 1 once it has signalled,
/// and the negative errno of a fence that ended with an error. -ENOTTY if it is no sync file.
int csystem_syncfile_status(int fd, int32_t *status);

#ifdef __cplusplus
}
#endif
