// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_epoll.h"

#include <errno.h>
#include <sys/epoll.h>

int csystem_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int csystem_epoll_add(int epoll, int fd, int interest) {
  struct epoll_event event = {
    .events = interest == 1 ? EPOLLIN : interest == 2 ? EPOLLOUT : 0,
    .data.fd = fd,
  };
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int csystem_epoll_remove(int epoll, int fd) {
  return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int csystem_epoll_wait(int epoll, int32_t *ready, int capacity, int milliseconds) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll, events, capacity < 64 ? capacity : 64, milliseconds);
  if (count < 0) return -errno;
  for (int index = 0; index < count; index++) ready[index] = events[index].data.fd;
  return count;
}
