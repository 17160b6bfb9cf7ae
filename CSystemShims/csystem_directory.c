// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_directory.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

int64_t csystem_directory_names(const char *path, char *names, size_t byte_count) {
  DIR *directory = opendir(path);  // opens close-on-exec
  if (directory == NULL) {
    return -errno;
  }
  size_t used = 0;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (entry == NULL) {
      int error = errno;
      closedir(directory);
      return error != 0 ? -error : (int64_t)used;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
      continue;
    }
    size_t length = strlen(entry->d_name) + 1;
    if (length > byte_count - used) {
      closedir(directory);
      return -ERANGE;
    }
    memcpy(names + used, entry->d_name, length);
    used += length;
  }
}
