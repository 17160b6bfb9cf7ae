// SPDX-License-Identifier: Apache-2.0
#include "csystem_udmabuf.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/udmabuf.h>

_Static_assert(sizeof(struct csystem_udmabuf_item) == sizeof(struct udmabuf_create_item), "size");
_Static_assert(
  offsetof(struct csystem_udmabuf_item, offset) == offsetof(struct udmabuf_create_item, offset),
  "layout");
_Static_assert(
  offsetof(struct csystem_udmabuf_item, byte_count) == offsetof(struct udmabuf_create_item, size),
  "layout");

int csystem_udmabuf_create(int device, int memory_file, uint64_t offset, uint64_t byte_count) {
  struct udmabuf_create argument = {
    .memfd = (uint32_t)memory_file,
    .flags = UDMABUF_FLAGS_CLOEXEC,
    .offset = offset,
    .size = byte_count,
  };
  int fd = ioctl(device, UDMABUF_CREATE, &argument);
  return fd < 0 ? -errno : fd;
}

int csystem_udmabuf_create_list(
  int device, const struct csystem_udmabuf_item *items, uint32_t item_count) {
  size_t list_byte_count = (size_t)item_count * sizeof(struct udmabuf_create_item);
  struct udmabuf_create_list *argument = malloc(sizeof(*argument) + list_byte_count);
  if (argument == NULL) {
    return -ENOMEM;
  }
  argument->flags = UDMABUF_FLAGS_CLOEXEC;
  argument->count = item_count;
  memcpy(argument->list, items, list_byte_count);
  int fd = ioctl(device, UDMABUF_CREATE_LIST, argument);
  int result = fd < 0 ? -errno : fd;
  free(argument);
  return result;
}
