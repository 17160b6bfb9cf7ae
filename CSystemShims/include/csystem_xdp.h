// SPDX-License-Identifier: Apache-2.0
//
// AF_XDP sockets (include/uapi/linux/if_xdp.h), as far as registering user memory. Why C: struct
// xdp_umem_reg has grown over the years; this one is the size that every kernel takes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// socket(AF_XDP, SOCK_RAW). Returns an fd that the caller owns. -EPERM without CAP_NET_RAW,
/// -EAFNOSUPPORT without CONFIG_XDP_SOCKETS. Minimum kernel: 4.18.
int csystem_xdp_open(void);

/// XDP_UMEM_REG: pins the memory and makes it the socket's frames of `chunk_byte_count`.
/// -EFAULT where the memory cannot be pinned (VM_PFNMAP), -ENOBUFS above RLIMIT_MEMLOCK,
/// -EBUSY if the socket has one, -EINVAL for sizes it does not take.
int csystem_xdp_register_memory(
  int fd, void *address, size_t byte_count, uint32_t chunk_byte_count, uint32_t headroom);

#ifdef __cplusplus
}
#endif
