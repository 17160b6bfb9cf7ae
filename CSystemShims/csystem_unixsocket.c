// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_unixsocket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

// Whether the socket file of an address is one that nobody listens on any more. 1, 0, or -errno.
static int is_stale(const struct sockaddr_un *address, int length, int stream) {
  struct stat status;
  if (lstat(address->sun_path, &status) < 0) {
    return -errno;
  }
  if (!S_ISSOCK(status.st_mode)) {
    return 0;
  }
  // Not blocking: a listener whose queue is full is one.
  int fd = socket(AF_UNIX, type_of(stream) | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return -errno;
  }
  int result = connect(fd, (const struct sockaddr *)address, (socklen_t)length) < 0 ? errno : 0;
  close(fd);
  return result == ECONNREFUSED;
}

// A lock on the folder of a path: who is between bind and listen holds it, and so does who looks
// whether a file is stale. -1 if there is none to be had: somebody who may read the folder keeps
// it.
static int lock_folder(const char *path) {
  char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  if (slash == NULL) {
    strcpy(folder, ".");
  } else if (length == 0) {
    strcpy(folder, "/");
  } else {
    memcpy(folder, path, length);
    folder[length] = 0;
  }
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int attempt = 0; fd >= 0; attempt++) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      return fd;
    }
    if (attempt == 200) {
      close(fd);
      return -1;
    }
    usleep(10000);
  }
  return -1;
}

static int bind_and_listen(
  int fd, const struct sockaddr_un *address, int length, int stream, int backlog) {
  int lock = address->sun_path[0] == 0 ? -1 : lock_folder(address->sun_path);
  int result = bind(fd, (const struct sockaddr *)address, (socklen_t)length) < 0 ? -errno : 0;
  if (result == -EADDRINUSE && lock >= 0) {
    int stale = is_stale(address, length, stream);
    if (stale == 1) {
      result = unlink(address->sun_path) < 0 ||
                   bind(fd, (const struct sockaddr *)address, (socklen_t)length) < 0
                 ? -errno
                 : 0;
    } else if (stale < 0) {
      result = stale;
    }
  }
  if (result == 0 && listen(fd, backlog) < 0) {
    result = -errno;
  }
  if (lock >= 0) {
    close(lock);
  }
  return result;
}

int csystem_unixsocket_listen(const char *path, int stream, int backlog, unsigned mode) {
  struct sockaddr_un address;
  int length = address_of(path, &address);
  if (length < 0) {
    return length;
  }
  int fd = socket(AF_UNIX, type_of(stream), 0);
  if (fd < 0) {
    return -errno;
  }
  // The file gets the socket's mode (unix_bind_bsd, net/unix/af_unix.c): no moment in which it has
  // more.
  if (fchmod(fd, mode) < 0) {
    return failed(fd);
  }
  int error = bind_and_listen(fd, &address, length, stream, backlog);
  if (error < 0) {
    close(fd);
    return error;
  }
  return fd;
}

int csystem_unixsocket_peer_groups(int fd, uint32_t *groups, size_t capacity) {
  // SO_PEERGROUPS, which asks for the size by -ERANGE.
  socklen_t length = (socklen_t)(capacity * sizeof(*groups));
  if (getsockopt(fd, SOL_SOCKET, 59, groups, &length) < 0) {
    return -errno;
  }
  return (int)(length / sizeof(*groups));
}

int csystem_unixsocket_peer(int fd, int32_t *process, uint32_t *user, uint32_t *group) {
  struct ucred peer;
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
    return -errno;
  }
  *process = peer.pid;
  *user = peer.uid;
  *group = peer.gid;
  return 0;
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

size_t csystem_unixsocket_descriptors_in(
  const void *control, size_t control_byte_count, int *descriptors, size_t descriptor_limit) {
  size_t used = 0;
  size_t offset = 0;
  struct cmsghdr header;
  while (offset < control_byte_count && control_byte_count - offset >= sizeof(header)) {
    size_t room = control_byte_count - offset;
    memcpy(&header, (const char *)control + offset, sizeof(header));
    if (header.cmsg_len < CMSG_LEN(0)) {
      break;
    }
    size_t length = header.cmsg_len < room ? header.cmsg_len : room;
    if (
      header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_RIGHTS && length > CMSG_LEN(0)) {
      size_t arrived = (length - CMSG_LEN(0)) / sizeof(int);
      if (arrived > descriptor_limit - used) {
        arrived = descriptor_limit - used;
      }
      memcpy(
        descriptors + used, (const char *)control + offset + CMSG_LEN(0), arrived * sizeof(int));
      used += arrived;
    }
    if (header.cmsg_len >= room) {
      break;
    }
    offset += CMSG_ALIGN(header.cmsg_len);
  }
  return used;
}

int64_t csystem_unixsocket_receive(
  int fd, void *bytes, size_t byte_count, int *descriptors, size_t descriptor_limit,
  size_t *descriptor_count, int *obstacle) {
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
  size_t used = csystem_unixsocket_descriptors_in(
    message.msg_control, message.msg_controllen, descriptors, descriptor_limit);
  *descriptor_count = used;
  *obstacle = 0;
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    *obstacle = EMSGSIZE;
  } else if ((message.msg_flags & MSG_CTRUNC) != 0) {
    *obstacle = EMSGSIZE;
    if (used < descriptor_limit) {
      // There was room for more: the table of descriptors is full, or a security module says no.
      int probe = fcntl(fd, F_DUPFD_CLOEXEC, 0);
      *obstacle = probe < 0 ? errno : EACCES;
      if (probe >= 0) {
        close(probe);
      }
    }
  }
  return count;
}
