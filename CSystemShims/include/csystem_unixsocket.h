// SPDX-License-Identifier: Apache-2.0
//
// Unix sockets and the passing of file descriptors (SCM_RIGHTS, unix(7)).
// Why C: control messages are walked by macros, and sockaddr_un is a sized array.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
  /// SCM_MAX_FD of include/net/scm.h: descriptors in one message.
  csystem_unixsocket_descriptor_limit = 253,
};

/// socketpair(2), close-on-exec: SOCK_SEQPACKET, or SOCK_STREAM. Two fds that the caller owns.
int csystem_unixsocket_pair(int stream, int *first, int *second);

/// socket + bind + listen on a path (or, first byte '@', an abstract name). Returns an fd that the
/// caller owns. -EADDRINUSE if the path exists; -ENAMETOOLONG above 107 bytes.
int csystem_unixsocket_listen(const char *path, int stream, int backlog);

/// socket + connect. Returns an fd that the caller owns. -ECONNREFUSED, -ENOENT.
int csystem_unixsocket_connect(const char *path, int stream);

/// accept4(SOCK_CLOEXEC). Returns an fd that the caller owns.
int csystem_unixsocket_accept(int listener);

/// sendmsg(MSG_NOSIGNAL) of bytes and descriptors, which stay the caller's. At least one byte must
/// go with descriptors. Bytes sent. -EPIPE, -EMSGSIZE, -ETOOMANYREFS.
int64_t csystem_unixsocket_send(
  int fd, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count);

/// recvmsg(MSG_CMSG_CLOEXEC). Bytes received, 0 at the end of the stream. The descriptors written
/// belong to the caller. `truncated` is set to 1 where bytes (MSG_TRUNC) or descriptors
/// (MSG_CTRUNC) did not fit: the kernel has dropped the rest. Minimum kernel: 2.6.23.
int64_t csystem_unixsocket_receive(
  int fd, void *bytes, size_t byte_count, int *descriptors, size_t descriptor_limit,
  size_t *descriptor_count, int *truncated);
