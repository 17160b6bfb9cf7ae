// SPDX-License-Identifier: Apache-2.0
//
// Device memory TCP on a connected socket: payload that stays in a dma-buf bound to the network
// device (Documentation/networking/devmem.rst). Mirrors: struct dmabuf_cmsg and struct dmabuf_token
// of include/uapi/linux/uio.h; SO_DEVMEM_LINEAR, SO_DEVMEM_DMABUF, SO_DEVMEM_DONTNEED and
// SCM_DEVMEM_DMABUF of include/uapi/asm-generic/socket.h; MSG_SOCK_DEVMEM of
// include/linux/socket.h. Debian 12's headers have none of them. Why C: control messages are walked
// and built by macros, and setsockopt's answer is a number here. Minimum kernel: 6.12 for
// receiving, 6.16 for sending.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "csystem_socket.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Entries that one call to csystem_devmem_return_tokens takes at most (MAX_DONTNEED_TOKENS,
/// net/core/sock.c); more is -EINVAL.
#define CSYSTEM_DEVMEM_TOKEN_RANGE_LIMIT 128

/// Tokens that one call looks at at most, over all entries (MAX_DONTNEED_FRAGS, net/core/sock.c);
/// it silently stops there.
#define CSYSTEM_DEVMEM_TOKEN_LIMIT 1024

/// Bytes of control memory that one fragment takes: CMSG_SPACE of a struct dmabuf_cmsg.
#define CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT 40

/// Received bytes: where they are. The fields of struct dmabuf_cmsg, in its order; `flags`, which
/// the kernel leaves 0, says here which of the two control messages it was.
struct csystem_devmem_fragment {
  /// Bytes from the start of the dma-buf.
  uint64_t offset;
  uint32_t byte_count;
  /// What to give back with csystem_devmem_return_tokens; 1 to 2^31-1, of this socket alone.
  uint32_t token;
  /// The bound dma-buf's id.
  uint32_t binding;
  /// 1 where the bytes were copied to the vectors instead (SO_DEVMEM_LINEAR); then only byte_count
  /// means something.
  uint32_t is_linear;
};

/// Consecutive tokens (struct dmabuf_token).
struct csystem_devmem_token_range {
  uint32_t first;
  uint32_t count;
};

/// The fragments that control messages describe, up to `limit`; lengths are believed as far as
/// there are bytes. How many there are.
size_t csystem_devmem_fragments_in(
  const void *control, size_t control_byte_count, struct csystem_devmem_fragment *fragments,
  size_t limit);

/// recvmsg(MSG_SOCK_DEVMEM), which never takes more than the vectors have room for, although only
/// linear bytes are written to them; those lie one behind the other.
///
/// Data that are not in device memory at all are copied and leave *fragment_count at 0. `control`
/// needs CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT bytes for each fragment that may come; as many elements
/// `fragments` has. *is_truncated is 1 when a control message found no room (MSG_CTRUNC).
/// `waits` 0 adds MSG_DONTWAIT.
/// Bytes received, 0 at the end of the stream. -ETOOSMALL (525) without room for one fragment,
/// -EFAULT for vectors that cannot be written.
int64_t csystem_devmem_receive(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int waits,
  void *control, size_t control_byte_count, struct csystem_devmem_fragment *fragments,
  size_t *fragment_count, int *is_truncated);

/// setsockopt(SO_DEVMEM_DONTNEED): the kernel may use these fragments' memory again. Takes no
/// socket lock: goes on beside a receive that waits.
///
/// How many tokens it knew and freed; it skips the others without a word. -EBADF if the socket is
/// not TCP, -ENOPROTOOPT before Linux 6.12, -EINVAL for more than
/// CSYSTEM_DEVMEM_TOKEN_RANGE_LIMIT entries, -ENOMEM with nothing freed.
int csystem_devmem_return_tokens(
  int fd, const struct csystem_devmem_token_range *ranges, size_t count);

/// sendmsg(MSG_ZEROCOPY) of bytes of the dma-buf that is bound for transmission under the id
/// `binding`: a vector's base is an offset in it, not an address. The socket needs SO_ZEROCOPY.
///
/// Bytes taken, possibly fewer than given; the call then counts as one for
/// csystem_socket_read_completion. -EINVAL for an id that is not bound for transmission or without
/// SO_ZEROCOPY, -ENODEV if the route leaves by another device, -EFAULT for an offset past the end,
/// -ENOBUFS when too many calls are not completed, -EPIPE.
int64_t csystem_devmem_send(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, uint32_t binding);

#ifdef __cplusplus
}
#endif
