// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_unixsocket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int type_of(int stream) {
  return (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC;
}

// Fills an address; returns its length or -errno.
static int address_of(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  if (length == 0) {
    return -EINVAL;
  }
  if (length >= sizeof(address->sun_path)) {
    return -ENAMETOOLONG;
  }
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  if (path[0] == '@') {
    // An abstract name is as long as its address says: no NUL at the end.
    address->sun_path[0] = 0;
    return (int)(offsetof(struct sockaddr_un, sun_path) + length);
  }
  return (int)sizeof(*address);
}

// The error, after closing what failed.
static int failed(int fd) {
  int error = errno;
  close(fd);
  return -error;
}

int csystem_unixsocket_pair(int stream, int *first, int *second) {
  int pair[2];
  if (socketpair(AF_UNIX, type_of(stream), 0, pair) < 0) {
    return -errno;
  }
  *first = pair[0];
  *second = pair[1];
  return 0;
}

int csystem_unixsocket_listen(const char *path, int stream, int backlog) {
  struct sockaddr_un address;
  int length = address_of(path, &address);
  if (length < 0) {
    return length;
  }
  int fd = socket(AF_UNIX, type_of(stream), 0);
  if (fd < 0) {
    return -errno;
  }
  if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 || listen(fd, backlog) < 0) {
    return failed(fd);
  }
  return fd;
}

int csystem_unixsocket_connect(const char *path, int stream) {
  struct sockaddr_un address;
  int length = address_of(path, &address);
  if (length < 0) {
    return length;
  }
  int fd = socket(AF_UNIX, type_of(stream), 0);
  if (fd < 0) {
    return -errno;
  }
  if (connect(fd, (struct sockaddr *)&address, (socklen_t)length) < 0) {
    return failed(fd);
  }
  return fd;
}

int csystem_unixsocket_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int64_t csystem_unixsocket_send(
  int fd, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count) {
  if (descriptor_count > csystem_unixsocket_descriptor_limit ||
      (descriptor_count > 0 && byte_count == 0)) {
    return -EINVAL;
  }
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = byte_count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  _Alignas(struct cmsghdr)
    char control[CMSG_SPACE(sizeof(int) * csystem_unixsocket_descriptor_limit)];
  if (descriptor_count > 0) {
    memset(control, 0, sizeof(control));
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
    memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
  }
  ssize_t count = sendmsg(fd, &message, MSG_NOSIGNAL);
  return count < 0 ? -errno : count;
}

int64_t csystem_unixsocket_receive(
  int fd, void *bytes, size_t byte_count, int *descriptors, size_t descriptor_limit,
  size_t *descriptor_count, int *truncated) {
  if (descriptor_limit > csystem_unixsocket_descriptor_limit) {
    return -EINVAL;
  }
  struct iovec vector = {.iov_base = bytes, .iov_len = byte_count};
  _Alignas(struct cmsghdr)
    char control[CMSG_SPACE(sizeof(int) * csystem_unixsocket_descriptor_limit)];
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = descriptor_limit > 0 ? control : NULL,
    // CMSG_LEN and not CMSG_SPACE: padding would let one descriptor more in than was asked for.
    .msg_controllen = descriptor_limit > 0 ? CMSG_LEN(sizeof(int) * descriptor_limit) : 0,
  };
  ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) {
    return -errno;
  }
  size_t used = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    size_t arrived = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(descriptors + used, CMSG_DATA(header), arrived * sizeof(int));
    used += arrived;
  }
  *descriptor_count = used;
  *truncated = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
  return count;
}
