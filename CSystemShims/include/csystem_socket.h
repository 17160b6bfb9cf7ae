// SPDX-License-Identifier: Apache-2.0
//
// TCP over IPv4 and IPv6, scatter receive, MSG_ZEROCOPY and its completions
// (Documentation/networking/msg_zerocopy.rst).
// Why C: sockaddr casts, control messages, and linux/errqueue.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The layout of struct iovec.
struct csystem_socket_vector {
  void *base;
  size_t byte_count;
};

/// A completion of zero-copy sends: the sends number `first` to `last`, counted per socket from 0
/// and wrapping at 2^32, no longer use their memory.
struct csystem_socket_completion {
  uint32_t first;
  uint32_t last;
  /// 1 where the kernel copied after all (SO_EE_CODE_ZEROCOPY_COPIED), as it does on loopback.
  uint32_t copied;
};

/// Listens on `address` (numeric, IPv4 or IPv6; "::" also takes IPv4) and `port` (0: any), and
/// writes the port. `interface` (NULL: any) is for SO_BINDTODEVICE. Returns an fd that the caller
/// owns. -EINVAL for what is no numeric address, -ENODEV for no such interface, -EADDRNOTAVAIL.
int csystem_socket_listen(
  const char *address, uint16_t port, const char *interface, int backlog, uint16_t *bound_port);

/// Connects to `address` (numeric, IPv4 or IPv6) and `port`, from `local_address` (NULL: the
/// route's) and `local_port` (0: any). `interface` as above. Returns an fd that the caller owns.
/// -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ETIMEDOUT and as above.
int csystem_socket_connect(
  const char *address, uint16_t port, const char *local_address, uint16_t local_port,
  const char *interface);

/// Looks a host's name up (getaddrinfo(3)): writes the numeric addresses of the stream endpoints,
/// each ended by a NUL, in the resolver's order, and how many. Returns the bytes used; -ERANGE if
/// `byte_count` is too small, -ENXIO for a name that nobody knows, -EAGAIN if the resolver cannot
/// be asked now.
int64_t csystem_socket_resolve(const char *host, char *addresses, size_t byte_count);

/// Begins to connect without waiting, on a socket that does not block: as csystem_socket_connect.
/// The socket is writable when it is over; csystem_socket_connect_result says how.
int csystem_socket_begin_connect(
  const char *address, uint16_t port, const char *local_address, uint16_t local_port,
  const char *interface);

/// SO_ERROR: 0, or why it could not be connected, as -errno.
int csystem_socket_connect_result(int fd);

/// O_NONBLOCK.
int csystem_socket_set_blocking(int fd, int is_blocking);

/// accept4(SOCK_CLOEXEC). Returns an fd that the caller owns.
int csystem_socket_accept(int listener);

/// TCP_NODELAY.
int csystem_socket_set_no_delay(int fd, int enabled);

/// SO_ZEROCOPY. Minimum kernel: 4.14.
int csystem_socket_set_zerocopy(int fd, int enabled);

/// SO_SNDBUF (0) or SO_RCVBUF (1), in bytes; the kernel doubles and caps it.
int csystem_socket_set_buffer(int fd, int receive, uint32_t byte_count);

/// shutdown(2) of the sending half.
int csystem_socket_finish_sending(int fd);

/// Ends a TCP connection as close(2) would, but keeps the fd and what it holds: a reset if
/// something is unread, which goes (connect(2) to AF_UNSPEC), else an orderly end of both halves
/// (shutdown(2)). -ENOTCONN.
int csystem_socket_end_connection(int fd);

/// sendmsg(MSG_NOSIGNAL), with MSG_ZEROCOPY if `zerocopy`. Bytes taken, possibly fewer than given.
/// -EFAULT with MSG_ZEROCOPY on memory that cannot be pinned (VM_PFNMAP), -ENOBUFS above
/// optmem_max, -EPIPE.
int64_t csystem_socket_send(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int zerocopy);

/// recvmsg scattered over the vectors (at most 1024, UIO_MAXIOV). `wait_all` adds MSG_WAITALL.
/// Bytes received, 0 at the end of the stream.
int64_t csystem_socket_receive(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int wait_all);

/// One completion from the error queue (MSG_ERRQUEUE; never blocks). 1 if there was one, 0 if none.
int csystem_socket_read_completion(int fd, struct csystem_socket_completion *completion);

/// poll(2) for readability (1), writability (2), either (3) or the error queue alone (0). 1 when
/// ready, 0 after `milliseconds` (-1: no limit).
int csystem_socket_wait(int fd, int interest, int milliseconds);

#ifdef __cplusplus
}
#endif
