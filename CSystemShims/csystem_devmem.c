// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_devmem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#if defined(__sparc__) || defined(__hppa__)
#error "SO_DEVMEM_* have other numbers on this architecture"
#endif

// The numbers that Debian 12's headers lack; newer ones have the same.
enum {
  DEVMEM_LINEAR = 78,
  DEVMEM_DMABUF = 79,
  DEVMEM_DONTNEED = 80,
  RECEIVE_DEVMEM = 0x2000000,
};

#ifdef SO_DEVMEM_DONTNEED
_Static_assert(DEVMEM_LINEAR == SO_DEVMEM_LINEAR, "SO_DEVMEM_LINEAR");
_Static_assert(DEVMEM_DMABUF == SO_DEVMEM_DMABUF, "SO_DEVMEM_DMABUF");
_Static_assert(DEVMEM_DONTNEED == SO_DEVMEM_DONTNEED, "SO_DEVMEM_DONTNEED");
#endif

// struct dmabuf_cmsg: 24 bytes; struct dmabuf_token: 8.
_Static_assert(sizeof(struct csystem_devmem_fragment) == 24, "dmabuf_cmsg");
_Static_assert(offsetof(struct csystem_devmem_fragment, byte_count) == 8, "dmabuf_cmsg");
_Static_assert(offsetof(struct csystem_devmem_fragment, token) == 12, "dmabuf_cmsg");
_Static_assert(offsetof(struct csystem_devmem_fragment, binding) == 16, "dmabuf_cmsg");
_Static_assert(offsetof(struct csystem_devmem_fragment, is_linear) == 20, "dmabuf_cmsg");
_Static_assert(sizeof(struct csystem_devmem_token_range) == 8, "dmabuf_token");
_Static_assert(
  CMSG_SPACE(sizeof(struct csystem_devmem_fragment)) == CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT,
  "control memory");

size_t csystem_devmem_fragments_in(
  const void *control, size_t control_byte_count, struct csystem_devmem_fragment *fragments,
  size_t limit) {
  size_t count = 0;
  size_t offset = 0;
  struct cmsghdr header;
  // Not by CMSG_NXTHDR, which reads the length of a header that may not be there.
  while (count < limit && offset < control_byte_count &&
         control_byte_count - offset >= sizeof(header)) {
    size_t room = control_byte_count - offset;
    memcpy(&header, (const char *)control + offset, sizeof(header));
    if (header.cmsg_len < CMSG_LEN(0)) {
      break;
    }
    int isOurs = header.cmsg_level == SOL_SOCKET &&
                 (header.cmsg_type == DEVMEM_LINEAR || header.cmsg_type == DEVMEM_DMABUF);
    size_t needed = CMSG_LEN(sizeof(struct csystem_devmem_fragment));
    if (isOurs && header.cmsg_len >= needed && room >= needed) {
      struct csystem_devmem_fragment *fragment = &fragments[count++];
      memcpy(fragment, (const char *)control + offset + CMSG_LEN(0), sizeof(*fragment));
      fragment->is_linear = header.cmsg_type == DEVMEM_LINEAR;
    }
    if (header.cmsg_len >= room) {
      break;
    }
    offset += CMSG_ALIGN(header.cmsg_len);
  }
  return count;
}

int64_t csystem_devmem_receive(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int waits,
  void *control, size_t control_byte_count, struct csystem_devmem_fragment *fragments,
  size_t *fragment_count, int *is_truncated) {
  struct msghdr message = {
    .msg_iov = (struct iovec *)vectors,
    .msg_iovlen = vector_count,
    .msg_control = control,
    .msg_controllen = control_byte_count,
  };
  *fragment_count = 0;
  *is_truncated = 0;
  ssize_t count = recvmsg(fd, &message, RECEIVE_DEVMEM | (waits ? 0 : MSG_DONTWAIT));
  if (count < 0) {
    return -errno;
  }
  *is_truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  size_t limit = control_byte_count / CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT;
  *fragment_count =
    csystem_devmem_fragments_in(control, message.msg_controllen, fragments, limit);
  return count;
}

int csystem_devmem_return_tokens(
  int fd, const struct csystem_devmem_token_range *ranges, size_t count) {
  int freed =
    setsockopt(fd, SOL_SOCKET, DEVMEM_DONTNEED, ranges, (socklen_t)(count * sizeof(*ranges)));
  return freed < 0 ? -errno : freed;
}

int64_t csystem_devmem_send(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, uint32_t binding) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(binding))];
  struct msghdr message = {
    .msg_iov = (struct iovec *)vectors,
    .msg_iovlen = vector_count,
    .msg_control = control,
    .msg_controllen = sizeof(control),
  };
  memset(control, 0, sizeof(control));
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = DEVMEM_DMABUF;
  header->cmsg_len = CMSG_LEN(sizeof(binding));
  memcpy(CMSG_DATA(header), &binding, sizeof(binding));
  ssize_t count = sendmsg(fd, &message, MSG_ZEROCOPY | MSG_NOSIGNAL);
  return count < 0 ? -errno : count;
}
