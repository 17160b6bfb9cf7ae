// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
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

/// An address of either family.
struct endpoint {
  struct sockaddr_storage address;
  socklen_t length;
};

/// Reads a numeric address; getaddrinfo rather than inet_pton because it knows "fe80::1%eth0".
static int parse(const char *address, uint16_t port, struct endpoint *endpoint) {
  struct addrinfo hints;
  struct addrinfo *found = NULL;
  memset(&hints, 0, sizeof(hints));
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(address, NULL, &hints, &found) != 0) {
    return -EINVAL;
  }
  memset(endpoint, 0, sizeof(*endpoint));
  memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
  endpoint->length = found->ai_addrlen;
  freeaddrinfo(found);
  if (endpoint->address.ss_family == AF_INET) {
    ((struct sockaddr_in *)&endpoint->address)->sin_port = htons(port);
  } else {
    ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = htons(port);
  }
  return 0;
}

static uint16_t port_of(const struct endpoint *endpoint) {
  return ntohs(
    endpoint->address.ss_family == AF_INET
      ? ((const struct sockaddr_in *)&endpoint->address)->sin_port
      : ((const struct sockaddr_in6 *)&endpoint->address)->sin6_port);
}

static int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/// A stream socket of the endpoint's family that may reuse addresses and is kept to `interface`.
static int open_stream(const struct endpoint *endpoint, const char *interface) {
  // The kernel takes an empty name for "any", and cuts a long one.
  if (interface != NULL && (interface[0] == 0 || strlen(interface) >= IF_NAMESIZE)) {
    return -ENODEV;
  }
  int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -errno;
  }
  int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (error == 0 && endpoint->address.ss_family == AF_INET6) {
    error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if (error == 0 && interface != NULL &&
      setsockopt(
        fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0) {
    error = -errno;
  }
  if (error < 0) {
    close(fd);
    return error;
  }
  return fd;
}

int csystem_socket_listen(
  const char *address, uint16_t port, const char *interface, int backlog, uint16_t *bound_port) {
  struct endpoint local;
  int error = parse(address, port, &local);
  if (error < 0) {
    return error;
  }
  int fd = open_stream(&local, interface);
  if (fd < 0) {
    return fd;
  }
  if (bind(fd, (struct sockaddr *)&local.address, local.length) < 0 || listen(fd, backlog) < 0 ||
      getsockname(fd, (struct sockaddr *)&local.address, &local.length) < 0) {
    return failed(fd);
  }
  *bound_port = port_of(&local);
  return fd;
}

static int open_connection(
  const char *address, uint16_t port, const char *local_address, uint16_t local_port,
  const char *interface, int waits) {
  struct endpoint remote;
  struct endpoint local;
  int error = parse(address, port, &remote);
  if (error < 0) {
    return error;
  }
  int binds = local_address != NULL || local_port != 0;
  if (binds) {
    const char *any = remote.address.ss_family == AF_INET ? "0.0.0.0" : "::";
    error = parse(local_address != NULL ? local_address : any, local_port, &local);
    if (error < 0) {
      return error;
    }
  }
  int fd = open_stream(&remote, interface);
  if (fd < 0) {
    return fd;
  }
  if ((binds && bind(fd, (struct sockaddr *)&local.address, local.length) < 0) ||
      (!waits && fcntl(fd, F_SETFL, O_NONBLOCK) < 0) ||
      (connect(fd, (struct sockaddr *)&remote.address, remote.length) < 0 &&
       errno != EINPROGRESS)) {
    return failed(fd);
  }
  return fd;
}

int csystem_socket_connect(
  const char *address, uint16_t port, const char *local_address, uint16_t local_port,
  const char *interface) {
  return open_connection(address, port, local_address, local_port, interface, 1);
}

int csystem_socket_begin_connect(
  const char *address, uint16_t port, const char *local_address, uint16_t local_port,
  const char *interface) {
  return open_connection(address, port, local_address, local_port, interface, 0);
}

int csystem_socket_connect_result(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
    return -errno;
  }
  return -error;
}

int64_t csystem_socket_resolve(const char *host, char *addresses, size_t byte_count) {
  struct addrinfo hints;
  struct addrinfo *found = NULL;
  memset(&hints, 0, sizeof(hints));
  hints.ai_socktype = SOCK_STREAM;
  int error = getaddrinfo(host, NULL, &hints, &found);
  if (error != 0) {
    switch (error) {
    case EAI_SYSTEM: return errno != 0 ? -errno : -EIO;
    case EAI_AGAIN: return -EAGAIN;
    case EAI_MEMORY: return -ENOMEM;
    default: return -ENXIO;
    }
  }
  size_t used = 0;
  for (struct addrinfo *entry = found; entry != NULL; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(
          entry->ai_addr, entry->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0) {
      continue;
    }
    size_t length = strlen(text) + 1;
    if (length > byte_count - used) {
      freeaddrinfo(found);
      return -ERANGE;
    }
    memcpy(addresses + used, text, length);
    used += length;
  }
  freeaddrinfo(found);
  return used > 0 ? (int64_t)used : -ENXIO;
}


int csystem_socket_set_blocking(int fd, int is_blocking) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) {
    return -errno;
  }
  flags = is_blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
  return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
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

int csystem_socket_end_connection(int fd) {
  int unread = 0;
  if (ioctl(fd, FIONREAD, &unread) < 0) {
    return -errno;
  }
  if (unread == 0) {
    return shutdown(fd, SHUT_RDWR) < 0 ? -errno : 0;
  }
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  return connect(fd, &none, sizeof(none)) < 0 ? -errno : 0;
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
      if (!isError || header->cmsg_len < CMSG_LEN(sizeof(struct sock_extended_err))) {
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
  if (interest == 1 || interest == 3) entry.events |= POLLIN;
  if (interest == 2 || interest == 3) entry.events |= POLLOUT;
  int count = poll(&entry, 1, milliseconds);
  return count < 0 ? -errno : count;
}
