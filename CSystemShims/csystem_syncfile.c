// SPDX-License-Identifier: Apache-2.0
#include "csystem_syncfile.h"

#include <errno.h>
#include <sys/ioctl.h>

#include <linux/types.h>

#include <linux/sync_file.h>

// Room for no fences: the kernel then says how far all of them together are.
int csystem_syncfile_status(int fd, int32_t *status) {
  struct sync_file_info argument = {.num_fences = 0};
  if (ioctl(fd, SYNC_IOC_FILE_INFO, &argument) < 0) {
    return -errno;
  }
  *status = argument.status;
  return 0;
}
