// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>

_Static_assert(sizeof(struct csystem_socket_vector) == sizeof(struct iovec), "iovec");
_Static_assert(
  offsetof(struct csystem_socket_vector, byte_count) == offsetof(struct iovec, iov_len), "iovec");

static int failed(int fd) {
  int error = errno;
  close(fd);
  return -error;
}

static struct sockaddr_in loopback(uint16_t port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int csystem_socket_listen_loopback(uint16_t port, int backlog, uint16_t *bound_port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -errno;
  }
  int reuse = 1;
  struct sockaddr_in address = loopback(port);
  socklen_t length = sizeof(address);
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0 ||
      bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, backlog) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
    return failed(fd);
  }
  *bound_port = ntohs(address.sin_port);
  return fd;
}

int csystem_socket_connect_loopback(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -errno;
  }
  struct sockaddr_in address = loopback(port);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
    return failed(fd);
  }
  return fd;
}

int csystem_socket_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int csystem_socket_set_no_delay(int fd, int enabled) {
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY, enabled);
}

int csystem_socket_set_zerocopy(int fd, int enabled) {
  return set_option(fd, SOL_SOCKET, SO_ZEROCOPY, enabled);
}

int csystem_socket_set_buffer(int fd, int receive, uint32_t byte_count) {
  return set_option(fd, SOL_SOCKET, receive ? SO_RCVBUF : SO_SNDBUF, (int)byte_count);
}

int csystem_socket_finish_sending(int fd) {
  return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

int64_t csystem_socket_send(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int zerocopy) {
  struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = vector_count};
  ssize_t count = sendmsg(fd, &message, MSG_NOSIGNAL | (zerocopy ? MSG_ZEROCOPY : 0));
  return count < 0 ? -errno : count;
}

int64_t csystem_socket_receive(
  int fd, const struct csystem_socket_vector *vectors, size_t vector_count, int wait_all) {
  struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = vector_count};
  ssize_t count = recvmsg(fd, &message, wait_all ? MSG_WAITALL : 0);
  return count < 0 ? -errno : count;
}

int csystem_socket_read_completion(int fd, struct csystem_socket_completion *completion) {
  for (;;) {
    _Alignas(struct cmsghdr) char control[256];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      return errno == EAGAIN ? 0 : -errno;
    }
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header)) {
      int isError = (header->cmsg_level == SOL_IP && header->cmsg_type == IP_RECVERR) ||
                    (header->cmsg_level == SOL_IPV6 && header->cmsg_type == IPV6_RECVERR);
      if (!isError) {
        continue;
      }
      struct sock_extended_err error;
      memcpy(&error, CMSG_DATA(header), sizeof(error));
      if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY) {
        continue;
      }
      completion->first = error.ee_info;
      completion->last = error.ee_data;
      completion->copied = (error.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0;
      return 1;
    }
    // Another kind of message in the error queue: not ours, look at the next.
  }
}

int csystem_socket_wait(int fd, int interest, int milliseconds) {
  struct pollfd entry = {.fd = fd};
  entry.events = interest == 1 ? POLLIN : interest == 2 ? POLLOUT : 0;
  int count = poll(&entry, 1, milliseconds);
  return count < 0 ? -errno : count;
}
