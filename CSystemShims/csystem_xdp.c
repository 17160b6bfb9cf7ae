// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_xdp.h"

#include <errno.h>
#include <sys/socket.h>

#include <linux/if_xdp.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

// The version with flags (Linux 5.4). Newer headers append a metadata length, which stays 0.
struct umem_registration {
  uint64_t address;
  uint64_t byte_count;
  uint32_t chunk_byte_count;
  uint32_t headroom;
  uint32_t flags;
};

_Static_assert(
  offsetof(struct umem_registration, chunk_byte_count) == offsetof(struct xdp_umem_reg, chunk_size),
  "layout");
_Static_assert(
  offsetof(struct umem_registration, flags) == offsetof(struct xdp_umem_reg, flags), "layout");
_Static_assert(sizeof(struct umem_registration) == 32, "size");

int csystem_xdp_open(void) {
  int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int csystem_xdp_register_memory(
  int fd, void *address, size_t byte_count, uint32_t chunk_byte_count, uint32_t headroom) {
  struct umem_registration argument = {
    .address = (uint64_t)(uintptr_t)address,
    .byte_count = byte_count,
    .chunk_byte_count = chunk_byte_count,
    .headroom = headroom,
  };
  return setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &argument, sizeof(argument)) < 0 ? -errno : 0;
}
