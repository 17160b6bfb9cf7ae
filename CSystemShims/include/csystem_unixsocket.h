// SPDX-License-Identifier: Apache-2.0
//
// Unix sockets and the passing of file descriptors (SCM_RIGHTS, unix(7)).
// Why C: control messages are walked by macros, and sockaddr_un is a sized array.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /// SCM_MAX_FD of include/net/scm.h: descriptors in one message.
  csystem_unixsocket_descriptor_limit = 253,
};

/// socketpair(2), close-on-exec: SOCK_SEQPACKET, or SOCK_STREAM. Two fds that the caller owns.
int csystem_unixsocket_pair(int stream, int *first, int *second);

/// socket + bind + listen on a path (or, first byte '@', an abstract name). The file has the
/// permissions `mode`, less what the umask takes, from the start. A socket file that nobody listens
/// on any more is replaced. Returns an fd that the caller owns. -EADDRINUSE if somebody listens
/// there or the path is something else; -ENAMETOOLONG above 107 bytes.
int csystem_unixsocket_listen(const char *path, int stream, int backlog, unsigned mode);

/// SO_PEERCRED: who was at the other end when it connected.
int csystem_unixsocket_peer(int fd, int32_t *process, uint32_t *user, uint32_t *group);

/// SO_PEERGROUPS: the other groups of that peer. How many; -ERANGE for more than there is room for.
/// Minimum kernel: 4.13.
int csystem_unixsocket_peer_groups(int fd, uint32_t *groups, size_t capacity);

/// socket + connect. Returns an fd that the caller owns. -ECONNREFUSED, -ENOENT.
int csystem_unixsocket_connect(const char *path, int stream);

/// accept4(SOCK_CLOEXEC). Returns an fd that the caller owns.
int csystem_unixsocket_accept(int listener);

/// sendmsg(MSG_NOSIGNAL) of bytes and descriptors, which stay the caller's. At least one byte must
/// go with descriptors. Bytes sent. -EPIPE, -EMSGSIZE, -ETOOMANYREFS.
int64_t csystem_unixsocket_send(
  int fd, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count);

/// recvmsg(MSG_CMSG_CLOEXEC). Bytes received, 0 at the end of the stream. The descriptors written
/// belong to the caller. `obstacle` is 0, or why the kernel has dropped a part: EMSGSIZE where
/// bytes (MSG_TRUNC) or descriptors (MSG_CTRUNC) did not fit, EMFILE where the table of descriptors
/// is full, EACCES where a security module refused one. Minimum kernel: 2.6.23.
int64_t csystem_unixsocket_receive(
  int fd, void *bytes, size_t byte_count, int *descriptors, size_t descriptor_limit,
  size_t *descriptor_count, int *obstacle);

/// The descriptors in control messages, at most `descriptor_limit`. Lengths are believed as far as
/// there are bytes.
size_t csystem_unixsocket_descriptors_in(
  const void *control, size_t control_byte_count, int *descriptors, size_t descriptor_limit);

#ifdef __cplusplus
}
#endif
